// Which chapters were read to their end: a mark beside them in the sidebar. It is kept in this browser and nowhere else.
(() => {
  const KEY = "chapters read";
  const root = new URL(document.documentElement.dataset.content_root, location).pathname;
  const nameOf = (address) => address.pathname.slice(root.length);
  const chapters = [...document.querySelectorAll(".bd-links a.reference.internal")]
    .filter((link) => nameOf(link).startsWith("chapters/"));
  const note = makeElement("p", { className: "progress-note" });
  chapters.at(-1)?.closest(".bd-links").append(note);

  const stored = () => JSON.parse(memory.get(KEY) ?? "[]");
  const keep = (names) => {
    memory.set(KEY, JSON.stringify(names));
    show();
  };
  const mark = (link, read) => {
    link.querySelector(".read-mark")?.remove();
    if (!read) return;
    const sign = makeElement("span", { className: "read-mark", role: "img", ariaLabel: "read" }, "✓");
    link.append(" ", sign);
  };
  const show = () => {
    const read = chapters.filter((link) => stored().includes(nameOf(link)));
    chapters.forEach((link) => mark(link, read.includes(link)));
    const forget = makeElement("button", { type: "button", onclick: () => keep([]) }, "Forget");
    note.replaceChildren(...(read.length ? [`${read.length} of ${chapters.length} chapters read `, forget] : []));
  };
  show();

  // The end has been reached when what follows the text comes into view.
  const here = nameOf(location), end = document.querySelector(".prev-next-footer");
  if (!here.startsWith("chapters/") || !end) return;
  new IntersectionObserver(([seen], observer) => {
    if (!seen.isIntersecting) return;
    observer.disconnect();
    keep([...new Set([...stored(), here])]);
  }).observe(end);
})();
