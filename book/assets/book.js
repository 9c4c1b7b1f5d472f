// For this and the scripts after it: an element with its properties and children.
const makeElement = (name, properties, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

// What is wider than its box scrolls in it. Only then is the box a tab stop, with a name for screen readers,
// and a shadow at the edges behind which there is more.
(() => {
  const shade = (box) => {
    const left = box.scrollLeft > 1 ? ["left"] : [];
    const right = box.scrollLeft + box.clientWidth < box.scrollWidth - 1 ? ["right"] : [];
    box.dataset.more = [...left, ...right].join(" ");
  };
  const boxes = {
    "div.math": "Formula",
    ".bd-article pre": "Code",
    ".cell_output:has(> img)": "Figure",
    ".pst-scrollable-table-container, .cell_output .output.text_html": "Table",
  };
  const mark = () => Object.entries(boxes).forEach(([selector, what]) =>
    document.querySelectorAll(selector).forEach((box) => {
      if (box.scrollWidth > box.clientWidth + 1) {
        box.tabIndex = 0;
        box.setAttribute("role", "group");
        box.setAttribute("aria-label", `${what}, scrolls sideways`);
        shade(box);
        box.onscroll = () => shade(box);
      } else {
        ["tabindex", "role", "aria-label", "data-more"].forEach((name) => box.removeAttribute(name));
      }
    }));
  addEventListener("load", mark);
  addEventListener("resize", mark);
})();
