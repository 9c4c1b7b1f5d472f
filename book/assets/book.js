// For this and the scripts after it: an element with its properties and children.
const makeElement = (name, properties, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

// What a page remembers in this browser, and nowhere else, or only until the window closes; a private one may refuse.
const memoryOf = (store) => ({
  get: (key) => { try { return store().getItem(key); } catch { return null; } },
  set: (key, value) => { try { store().setItem(key, value); } catch { /* then it is forgotten */ } },
});
const memory = memoryOf(() => localStorage), memoryOfVisit = memoryOf(() => sessionStorage);

// What is wider than its box scrolls in it. Only then is the box a tab stop, with a name for screen readers,
// and a shadow at the edges behind which there is more. A section far away has no layout yet (book.css), and asking for
// its widths would make one: its boxes are tab stops until the observer, who waits for the layout and hears of every
// later change, sees that they do not scroll.
(() => {
  const boxes = {
    "div.math": "Formula",
    ".bd-article pre": "Code",
    ".cell_output:has(> img)": "Figure",
    ".pst-scrollable-table-container, .cell_output .output.text_html": "Table",
  };
  const shade = (box) => {
    const left = box.scrollLeft > 1 ? ["left"] : [];
    const right = box.scrollLeft + box.clientWidth < box.scrollWidth - 1 ? ["right"] : [];
    box.dataset.more = [...left, ...right].join(" ");
  };
  const mark = (box) => {
    if (box.scrollWidth > box.clientWidth + 1) {
      const what = Object.keys(boxes).find((selector) => box.matches(selector));
      box.tabIndex = 0;
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", `${boxes[what]}, scrolls sideways`);
      shade(box);
      box.onscroll = () => shade(box);
    } else {
      ["tabindex", "role", "aria-label", "data-more"].forEach((name) => box.removeAttribute(name));
    }
  };
  const observer = new ResizeObserver((changes) => changes.forEach(({ target }) => mark(target)));
  const watch = () => document.querySelectorAll(Object.keys(boxes).join()).forEach((box) => {
    observer.observe(box);
    box.tabIndex = 0;
  });
  addEventListener("load", watch);
  document.fonts.addEventListener("loadingdone", watch); // a font changes what a box holds, not always its size
})();
// Who comes back finds the page scrolled by as many pixels as before. But sections far away may be as tall as guessed, so
// the same line of the same section is brought back instead, unless the reader is scrolling already.
(() => {
  const sections = [...document.querySelectorAll(".far-section")];
  const key = `place ${location.pathname}`;
  const top = (k) => (sections[k] ?? document.documentElement).getBoundingClientRect().top;
  const left = JSON.parse(memoryOfVisit.get(key) ?? "null");
  if (left && performance.getEntriesByType("navigation")[0]?.type !== "navigate") {
    let moved = false;
    ["wheel", "touchmove", "keydown"].forEach((how) => addEventListener(how, () => { moved = true; }, { once: true, passive: true }));
    const back = () => { if (!moved) scrollBy({ top: top(left.section) - left.top, behavior: "instant" }); };
    history.scrollRestoration = "manual"; // this once, or the browser scrolls to its own place after the load
    back();
    addEventListener("load", () => { back(); setTimeout(() => { history.scrollRestoration = "auto"; }, 500); });
  }
  const leave = () => {
    const section = sections.findLastIndex((_, k) => top(k) < 100);
    memoryOfVisit.set(key, JSON.stringify({ section, top: top(section) }));
  };
  if (sections.length) addEventListener("pagehide", leave);
})();
// Paper is white: who reads in the dark prints in the light.
(() => {
  const root = document.documentElement;
  let theme;
  addEventListener("beforeprint", () => { theme = root.dataset.theme; root.dataset.theme = "light"; });
  addEventListener("afterprint", () => { root.dataset.theme = theme; });
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
