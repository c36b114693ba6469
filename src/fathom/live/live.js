"use strict";
// Follows a running study: new data replace the old ones, and the page is built again from them.
// What the reader chose is in the address; here his place is kept: scroll positions and focus.
(() => {
  const REST_MS = 1000; // after a key or a click, nothing moves for a moment
  const CHOOSING_MS = 8000; // nor while a list of choices may be open
  let waiting = null; // data that have come and are not shown yet
  let restUntil = 0;
  let ended = false;

  const line = document.createElement("p");
  line.id = "live";
  line.setAttribute("role", "status");
  document.getElementById("summary").after(line);
  document.documentElement.style.overflowAnchor = "none"; // the place is kept below, once

  const tell = (text) => { line.textContent = text; };

  /** Writes a selector that finds an element's successor on the page that is built again. */
  function selectorOf(element) {
    if (element.id) return `#${CSS.escape(element.id)}`;
    if (element === document.body) return "body";
    const keys = Object.entries(element.dataset).map(([key, value]) =>
      `[data-${key}="${CSS.escape(value)}"]`);
    if (keys.length) return `${element.localName}${keys.join("")}`;
    const index = [...element.parentElement.children].indexOf(element) + 1;
    return `${selectorOf(element.parentElement)} > :nth-child(${index})`;
  }

  /** The first thing in sight below `top`, by which a place is found again. */
  function anchorIn(elements, top) {
    const seen = [...elements].find((element) => element.getBoundingClientRect().bottom > top);
    return seen && { selector: selectorOf(seen), top: seen.getBoundingClientRect().top };
  }

  const movedBy = (anchor) => {
    const found = anchor && document.querySelector(anchor.selector);
    return found ? found.getBoundingClientRect().top - anchor.top : 0;
  };

  /** Remembers focus and scroll places, and returns what brings them back. */
  function keepPlace() {
    const held = document.activeElement;
    const focus = held && held !== document.body ? selectorOf(held) : "";
    const caret = held?.matches("input[type=search]")
      ? [held.selectionStart, held.selectionEnd] : null;
    const boxes = [...document.querySelectorAll(".scroll")].filter(({ id }) => id).map((box) => ({
      id: box.id, left: box.scrollLeft, top: box.scrollTop,
      row: box.scrollTop ? anchorIn(box.querySelectorAll("tbody tr:not([hidden])"),
        box.getBoundingClientRect().top + (box.querySelector("thead")?.offsetHeight ?? 0)) : null,
    }));
    const section = scrollY ? anchorIn(document.querySelectorAll("header, main > section"), 0) : null;
    return () => {
      for (const { id, left, top, row } of boxes) {
        const box = document.getElementById(id);
        box.scrollTo(left, top);
        box.scrollBy(0, movedBy(row));
      }
      scrollBy(0, movedBy(section));
      const successor = focus && document.querySelector(focus);
      if (successor && successor !== document.activeElement) {
        successor.focus({ preventScroll: true });
        if (caret) successor.setSelectionRange(...caret);
      }
    };
  }

  /** Lets what is filled a moment later keep its height until then, when `then` is called. */
  function keepHeights(then) {
    const places = ["selected", "panels", "figure"].map((id) => document.getElementById(id));
    for (const place of places) place.style.minHeight = `${place.offsetHeight}px`;
    const observer = new MutationObserver(() => {
      if (!("ready" in document.documentElement.dataset)) return;
      observer.disconnect();
      for (const place of places) place.style.minHeight = "";
      then();
    });
    observer.observe(document.documentElement, { attributeFilter: ["data-ready"] });
  }

  /** Puts new data into the page, unless they are the ones that it shows. */
  function show({ title, elements }) {
    if ("waiting" in document.documentElement.dataset) {
      location.reload();
      return;
    }
    const changed = Object.entries(elements).filter(([id, text]) =>
      document.getElementById(id).textContent !== text);
    if (!changed.length) return;
    for (const [id, text] of changed) document.getElementById(id).textContent = text;
    document.title = `${title} – Fathom`;
    const restore = keepPlace();
    let reached = null;
    keepHeights(() => {
      if (scrollY === reached) restore(); // unless the reader has moved on meanwhile
    });
    document.documentElement.removeAttribute("data-ready");
    dispatchEvent(new Event("newdata"));
    restore();
    reached = scrollY;
  }

  /** Shows what waits as soon as the reader rests. */
  function showSoon() {
    if (!waiting) return;
    const rest = restUntil - performance.now();
    if (rest > 0) {
      setTimeout(showSoon, rest);
      return;
    }
    const data = waiting;
    waiting = null;
    show(data);
  }

  for (const kind of ["pointerdown", "keydown", "input"]) {
    addEventListener(kind, ({ target }) => {
      const isList = target instanceof Element && target.closest("select");
      const chosen = isList && kind === "input";
      restUntil = performance.now() + (isList && !chosen ? CHOOSING_MS : REST_MS);
    }, { capture: true, passive: true });
  }

  const source = new EventSource(`events${location.search}`);
  source.addEventListener("data", ({ data }) => {
    const idle = waiting === null;
    waiting = JSON.parse(data);
    if (idle) showSoon();
  });
  source.addEventListener("status", ({ data }) => tell(JSON.parse(data)));
  source.addEventListener("end", () => {
    ended = true;
    source.close();
    tell(`${line.textContent} The command has ended; this page stays as it is.`);
  });
  source.addEventListener("error", () => {
    if (!ended) tell("No connection. Either fathom has ended, or it will answer again.");
  });
})();
