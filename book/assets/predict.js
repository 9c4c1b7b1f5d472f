// A question before a figure takes the reader's guess, and then says it beside what the chapter measured.
// The measured answer is the line "Answer: ..." that a later cell printed. Guesses stay in this browser.
(() => {
  const MARK = /^Answer: (.*)$/m;

  // The first printed answer after the question, in the order of the page.
  const answerTo = (box) => [...document.querySelectorAll(".bd-article .cell_output pre")]
    .filter((printed) => box.compareDocumentPosition(printed) & Node.DOCUMENT_POSITION_FOLLOWING)
    .map((printed) => printed.textContent.match(MARK))
    .find(Boolean)?.[1];

  // What one reads of an item: a formula stands on the page twice, once for screen readers.
  const wordsOf = (item) => {
    const copy = item.cloneNode(true);
    copy.querySelectorAll(".katex-mathml").forEach((formula) => formula.remove());
    return copy.textContent.trim();
  };

  // Choices become radio buttons; a question without choices gets a field.
  const choicesOf = (form, list, name) => {
    const choices = [...list.children].map((item) => {
      const input = makeElement("input", { type: "radio", name, value: wordsOf(item), required: true });
      const words = item.querySelector(":scope > p") ?? item;
      return makeElement("label", {}, input, " ", ...words.childNodes);
    });
    const group = makeElement("div", { className: "choices" }, ...choices);
    group.setAttribute("role", "radiogroup");
    group.setAttribute("aria-label", "Your guess");
    form.append(group);
    return choices.map((label) => label.firstChild);
  };
  const fieldOf = (form) => {
    const input = makeElement("input", { type: "text", required: true, maxLength: 40, autocomplete: "off" });
    form.append(makeElement("label", {}, "Your guess: ", input));
    return input;
  };

  document.querySelectorAll(".bd-article .admonition.tip").forEach((box, number) => {
    const asks = box.querySelector(".admonition-title")?.textContent.trim() === "Predict";
    const answer = asks && answerTo(box);
    if (!answer) return;
    const key = `guess ${location.pathname} ${number}`;
    const form = makeElement("form", { className: "guess" });
    const list = box.querySelector("ul");
    const inputs = list ? choicesOf(form, list, `guess-${number}`) : [fieldOf(form)];
    const result = makeElement("output", {});
    form.append(makeElement("button", { type: "submit" }, "Compare"), result);
    if (list) list.replaceWith(form);
    else box.append(form);
    const show = (guess) => { result.textContent = `You: ${guess}. Measured: ${answer}`; };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const guess = list ? inputs.find((input) => input.checked).value : inputs[0].value.trim();
      memory.set(key, guess);
      show(guess);
    });
    const before = memory.get(key);
    if (before === null) return;
    if (list) inputs.filter((input) => input.value === before).forEach((input) => { input.checked = true; });
    else inputs[0].value = before;
    show(before);
  });
})();
