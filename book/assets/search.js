// Hits while one types: sections rather than pages, under the search field, in the dialog and on the page search.html.
// The engine (MiniSearch), the sections (sections.js) and the stemmer (Sphinx's) load when a field gets the focus.
(() => {
  const ROOT = document.documentElement.dataset.content_root ?? "";
  const MOST = 12;
  // How much a hit counts by the kind of page it is on: chapters explain, the rest is reference.
  const KINDS = { answers: 1.5, chapters: 1, notation: .5, glossary: .9, evidence: .35, exercises: .4, api: .35, appendices: .6 };
  const IGNORED = new Set("a an and are as at be by do does for from have how i if in is it its my of on or should that the there this to use what when which why with you your not no need still too so than then get way".split(" "));
  // Words that mean the same to a reader who searches.
  const SAME = [
    "kaiming he", "xavier glorot", "init initialize initialization initializer start", "bn batchnorm batchnorm2d batchnorm1d",
    "eval evaluation inference test validation val", "train training", "std deviation sigma", "lr rate", "nan inf overflow infinite",
    "vanish shrink vanishing fade", "explode exploding blow grow", "dead dying", "conv convolution conv2d cnn", "transformer attention gpt",
    "linear dense", "lstm rnn gru recurrent", "activation nonlinearity", "fuse fold folding merge", "momentum running",
    "gamma scale affine", "beta shift affine", "freeze frozen unfreeze", "reproducible seed deterministic", "average mean", "constant same identical", "ddp syncbatchnorm multi-gpu gpus", "plot figure", "exercise homework",
    "grade grading autograde", "loss entropy", "acc accuracy", "grad gradient", "eps epsilon ε", "resnet residual skip", "normalize normalization standardize", "batch minibatch",
    "sigmoid logistic", "swish silu", "orthogonal isometry", "symmetry symmetric", "bias biases", "export onnx deploy",
    "finetune fine-tune finetuning transfer", "accum accumulate accumulation", "checkpoint checkpointing",
    "different differ varies inconsistent", "worse bad poor drop", "tutorial chapter", "weight weights parameter",
  ].map((group) => group.split(" "));

  let engine;
  const script = (src) => new Promise((done, failed) => {
    document.head.append(makeElement("script", { src: `${ROOT}_static/${src}`, onload: done, onerror: failed }));
  });
  const load = () => engine ??= Promise.all(["minisearch.js", "language_data.js", "sections.js"].map(script)).then(() => {
    const stemmer = new Stemmer();
    const stems = new Map(); // each word stands in many sections, and is stemmed once
    const stem = (word) => {
      if (!stems.has(word)) stems.set(word, /^[a-z]+$/.test(word) ? stemmer.stemWord(word) : word);
      return stems.get(word);
    };
    const oneWord = (text) => text.replace(/\b(batch|layer|group|instance)[ -]norm(?:alization)?\b/g, "$1norm");
    const tokens = (text) => oneWord(text.toLowerCase()).match(/[\p{L}\p{N}]+(?:[_.][\p{L}\p{N}]+)*_?/gu) ?? [];
    // A name such as kaiming_uniform_ is found whole and by its parts; a number such as 0.693 only whole.
    const parts = (token) => token.split(/[_.]+/).filter((part) => /\D/.test(part));
    const terms = (text) => tokens(text).flatMap((token) => /[_.]/.test(token) ? [token, ...parts(token)] : [token]);
    const same = new Map(SAME.map((group) => [...new Set(group.map(stem))]).flatMap((stems) => stems.map((one) => [one, stems])));
    const fields = ["title", "also", "page", "text"];
    const sectionsWith = new Map();
    SECTIONS.map((section) => new Set(terms(fields.map((field) => section[field]).join(" ")).map(stem))).forEach((stems) =>
      stems.forEach((one) => sectionsWith.set(one, (sectionsWith.get(one) ?? 0) + 1)));
    const mini = new MiniSearch({
      fields, tokenize: terms, processTerm: stem,
      storeFields: ["kind", "page", "title", "url", "text", "shown"],
    });
    mini.addAll(SECTIONS.map((section, id) => ({ id, ...section })));
    return (query) => {
      const words = [...new Set(terms(query))].filter((word) => !IGNORED.has(word));
      const asked = (words.length ? words : terms(query)).map((word, place, all) => {
        const own = stem(word);
        const others = (same.get(own) ?? []).filter((other) => other !== own);
        // Only a word that stands nowhere may be misspelled, and two letters in the wrong order are two mistakes.
        const fuzzy = word.length > 4 && !sectionsWith.has(own) ? .34 : 0;
        const queries = [
          { queries: [word], boost: { title: 4, also: 3, page: 1.5 }, prefix: place === all.length - 1 && word.length > 2, fuzzy },
          ...others.map((other) => ({ queries: [other], boost: { title: 3, also: 2, page: 1 }, processTerm: (term) => term, boostTerm: () => .5 })),
        ];
        return { combineWith: "OR", queries, stems: [own, ...others] };
      });
      const options = { boostDocument: (id, term, stored) => KINDS[stored.kind] ?? .7 };
      // The engine counts every matched term for a hit, so a word with a synonym would count twice. Count words instead,
      // a rare one for more than one that stands everywhere.
      const found = (stems) => stems.reduce((sum, one) => sum + (sectionsWith.get(one) ?? 0), 0);
      const rarity = ({ stems }) => Math.log(1 + SECTIONS.length / (found(stems) || 1));
      const covers = (hit) => asked.filter(({ stems }) => stems.some((one) => hit.queryTerms.includes(one)))
        .reduce((sum, word) => sum + rarity(word), 0);
      const score = (hit) => hit.score / (hit.terms.length || 1) * covers(hit);
      return mini.search({ combineWith: "OR", queries: asked }, options)
        .map((hit) => ({ ...hit, score: score(hit) })).sort((one, other) => other.score - one.score);
    };
  });
  window.searchSections = (query) => load().then((search) => search(query).slice(0, MOST));

  const beginning = (text) => text.length > 110 ? `${text.slice(0, text.lastIndexOf(" ", 110))}\u00a0…` : text;
  const entry = (hit) => makeElement("li", {}, makeElement("a", { href: ROOT + hit.url },
    makeElement("span", { className: "hit-title" }, hit.title),
    makeElement("span", { className: "hit-text" }, beginning(hit.text))));
  // The best hits come first, under the name of their page; neighbors of one page share it.
  const list = (hits) => {
    const groups = [];
    hits.forEach((hit) => groups.at(-1)?.[0].page === hit.page ? groups.at(-1).push(hit) : groups.push([hit]));
    return groups.map((group) =>
      makeElement("section", {}, makeElement("p", { className: "hit-page" }, group[0].page), makeElement("ul", {}, ...group.map(entry))));
  };

  // One place for hits by each field; the number of hits is read out.
  const serve = (form) => {
    const input = form.querySelector("input");
    const inDialog = Boolean(form.closest("dialog"));
    const hits = (!inDialog && document.getElementById("search-results")) || makeElement("div", {});
    hits.classList.add("hits");
    if (!hits.isConnected) form.after(hits);
    const status = makeElement("p", { className: "hit-count", role: "status" });
    let latest = "";
    const update = async () => {
      latest = input.value.trim();
      const query = latest;
      const found = query.length > 1 ? await window.searchSections(query) : [];
      if (query !== latest) return;
      status.textContent = query.length < 2 ? "" : found.length ? `${found.length} sections` : "Nothing was found. Try fewer or other words.";
      hits.replaceChildren(status, ...list(found));
    };
    input.addEventListener("focus", load, { once: true });
    input.addEventListener("input", update);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      update().then(() => hits.querySelector("a")?.click());
    });
    // Arrows walk through the hits.
    form.parentElement.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      const stops = [input, ...hits.querySelectorAll("a")];
      const next = stops[stops.indexOf(document.activeElement) + step];
      if (next) { next.focus(); event.preventDefault(); }
    });
    const asked = inDialog ? null : new URLSearchParams(location.search).get("q");
    if (asked) { input.value = asked; update(); }
  };
  document.querySelectorAll("form.bd-search").forEach(serve);
})();
