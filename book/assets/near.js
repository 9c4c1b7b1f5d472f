// The scripts that draw explorers, loaded when the first explorer is a screen away or the address asks for one. Until then
// its table of numbers stands in the room that explorer.css keeps.
(() => {
  const names = document.currentScript.dataset.scripts.split(" ");
  const root = `${document.documentElement.dataset.content_root ?? ""}_static/`;
  const load = () => {
    observer.disconnect();
    removeEventListener("hashchange", loadIfAsked);
    const script = (name) => Object.assign(document.createElement("script"), { src: root + name, async: false });
    document.head.append(...names.map(script)); // they run in this order
  };
  const loadIfAsked = () => { if (new URLSearchParams(location.hash.slice(1)).has("at")) load(); };
  const observer = new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) load(); }, { rootMargin: "100% 0px" });
  document.querySelectorAll("good-explorer, .laboratory").forEach((explorer) => observer.observe(explorer));
  addEventListener("hashchange", loadIfAsked);
  loadIfAsked();
})();
