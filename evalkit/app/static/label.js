"use strict";
/* Keys of the ballot. Everything works without this too: the buttons are a form's. */

const ballot = document.getElementById("ballot");
const comment = document.getElementById("comment");
const skip = document.getElementById("skip");
const more = document.getElementById("more");
if (more && matchMedia("(max-width: 48rem)").matches) more.open = false;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target instanceof HTMLElement ? event.target : document.body;
  if (event.key === "Escape" && (target === comment || target === skip)) {
    target.blur();
    return;
  }
  if (target === skip && event.key === "Enter") {
    event.preventDefault();
    document.getElementById("skip-now").click();
    return;
  }
  if (target.closest("textarea, select")) return;
  if (event.key === "c" && comment) {
    event.preventDefault();
    more.open = true;
    comment.focus();
    return;
  }
  if (event.key === "s" && skip) {
    event.preventDefault();
    more.open = true;
    skip.focus();
    return;
  }
  const chosen = Array.from(document.querySelectorAll("[data-key]")).find((one) => one.dataset.key === event.key);
  if (chosen) {
    event.preventDefault();
    chosen.click();
  }
});

/* A second press while a vote is on its way would be another vote of the same: the first counts. */
if (ballot) {
  let sent = false;
  ballot.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
  });
  window.addEventListener("pageshow", () => { sent = false; });
}
