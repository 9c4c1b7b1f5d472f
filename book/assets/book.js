// For this and the scripts after it: an element with its properties and children.
const makeElement = (name, properties, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

// What a page remembers in this browser, and nowhere else; a private window may refuse.
const memory = {
  get: (key) => { try { return localStorage.getItem(key); } catch { return null; } },
  set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* then it is forgotten */ } },
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
// The tip of a link to a claim closes by Escape, and comes back when the link is visited again.
(() => {
  const closed = "claim-closed";
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") document.querySelectorAll(".claim:is(:hover, :focus-within)").forEach((claim) => claim.classList.add(closed));
  });
  document.querySelectorAll(".claim").forEach((claim) =>
    ["mouseleave", "focusout"].forEach((leaving) => claim.addEventListener(leaving, () => claim.classList.remove(closed))));
})();
