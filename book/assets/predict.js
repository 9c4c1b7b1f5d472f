// A question before a figure takes the reader's guess, and then says it beside what the chapter measured.
// The measured answer is the line "Answer: ..." that a later cell printed. Guesses stay in this browser.
(() => {
  const MARK = /^Answer: (.*)$/m;
  const element = (name, properties, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };

  // The first printed answer after the question, in the order of the page.
  const answerTo = (box) => [...document.querySelectorAll(".bd-article .cell_output pre")]
    .filter((printed) => box.compareDocumentPosition(printed) & Node.DOCUMENT_POSITION_FOLLOWING)
    .map((printed) => printed.textContent.match(MARK))
    .find(Boolean)?.[1];

  const remember = (key, guess) => { try { localStorage.setItem(key, guess); } catch { /* private window */ } };
  const remembered = (key) => { try { return localStorage.getItem(key); } catch { return null; } };

  // Choices become radio buttons in their place; a question without choices gets a field.
  const choicesOf = (list, name) => [...list.children].map((item) => {
    const input = element("input", { type: "radio", name, value: item.textContent.trim(), required: true });
    const label = element("label", {}, input, " ", ...item.childNodes);
    item.append(label);
    return input;
  });
  const fieldOf = (form) => {
    const input = element("input", { type: "text", required: true, maxLength: 40, autocomplete: "off" });
    form.append(element("label", {}, "Your guess: ", input));
    return input;
  };

  document.querySelectorAll(".bd-article .admonition.tip").forEach((box, number) => {
    const answer = answerTo(box);
    if (!answer) return;
    const key = `guess ${location.pathname} ${number}`;
    const form = element("form", { className: "guess", ariaLabel: "Your guess" });
    const list = box.querySelector("ul");
    const inputs = list ? choicesOf(list, `guess-${number}`) : [fieldOf(form)];
    const result = element("output", {});
    form.append(element("button", { type: "submit" }, "Compare"), result);
    if (list) {
      list.classList.add("choices");
      list.replaceWith(form);
      form.prepend(list);
    } else {
      box.append(form);
    }
    const show = (guess) => { result.textContent = `You: ${guess}. Measured: ${answer}`; };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const guess = list ? inputs.find((input) => input.checked).value : inputs[0].value.trim();
      remember(key, guess);
      show(guess);
    });
    const before = remembered(key);
    if (before === null) return;
    if (list) inputs.filter((input) => input.value === before).forEach((input) => { input.checked = true; });
    else inputs[0].value = before;
    show(before);
  });
})();
