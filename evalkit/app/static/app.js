"use strict";
/* Keys, toggles, the marking of different words, and catching up with a run that goes on. Deferred, not a module:
   browsers load no module from a folder on disk. Text reaches the page as text only. */

const typing = (target) => target instanceof HTMLElement && target.closest("input, textarea, select") !== null;

function lines() {
  return Array.from(document.querySelectorAll("table.cases tbody tr"));
}

function go(step) {
  const rows = lines();
  if (!rows.length) return;
  const now = rows.findIndex((row) => row.classList.contains("here"));
  const next = Math.max(0, Math.min(rows.length - 1, now < 0 ? 0 : now + step));
  rows.forEach((row) => row.classList.remove("here"));
  rows[next].classList.add("here");
  const link = rows[next].querySelector("a");
  if (link) link.focus();
  rows[next].scrollIntoView({ block: "nearest" });
}

/* Words of two texts by the shortest edit script (Myers 1986), up to a bound on how different they may be. */
function differences(first, second, most = 3000) {
  const n = first.length, m = second.length, reach = [], bound = Math.min(most, n + m);
  let ends = new Map([[1, 0]]);
  for (let d = 0; d <= bound; d += 1) {
    reach.push(new Map(ends));
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && (ends.get(k - 1) ?? -1) < (ends.get(k + 1) ?? -1));
      let x = down ? ends.get(k + 1) ?? 0 : (ends.get(k - 1) ?? 0) + 1;
      let y = x - k;
      while (x < n && y < m && first[x] === second[y]) { x += 1; y += 1; }
      ends.set(k, x);
      if (x >= n && y >= m) return retrace(reach, first.length, second.length);
    }
    if (d * d > 4e6) return null;
  }
  return null;
}

function retrace(reach, n, m) {
  const only = [new Set(), new Set()];
  let x = n, y = m;
  for (let d = reach.length - 1; d > 0; d -= 1) {
    const ends = reach[d], k = x - y;
    const down = k === -d || (k !== d && (ends.get(k - 1) ?? -1) < (ends.get(k + 1) ?? -1));
    const before = down ? k + 1 : k - 1;
    const px = ends.get(before) ?? 0, py = px - before;
    while (x > px && y > py) { x -= 1; y -= 1; }
    if (down) { y -= 1; only[1].add(y); } else { x -= 1; only[0].add(x); }
    x = px; y = py;
  }
  return only;
}

function mark(box, words, only) {
  const target = box.querySelector(".plain") || box;
  target.replaceChildren();
  words.forEach((word, at) => {
    if (only.has(at) && word.trim()) {
      const marked = document.createElement("mark");
      marked.textContent = word;
      target.append(marked);
    } else {
      target.append(document.createTextNode(word));
    }
  });
}

function markTurns(on) {
  document.querySelectorAll(".answers").forEach((turn) => {
    const boxes = Array.from(turn.querySelectorAll(".written"));
    if (boxes.length !== 2) return;
    const words = boxes.map((box) => box.textContent.match(/\s+|[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu) || []);
    const only = on ? differences(words[0], words[1]) : [new Set(), new Set()];
    const note = turn.parentElement.querySelector(".too-different");
    if (note) note.remove();
    if (only === null) {
      const said = document.createElement("p");
      said.className = "facts too-different";
      said.textContent = "These answers are too different to mark words.";
      turn.after(said);
      return;
    }
    boxes.forEach((box, side) => mark(box, words[side], only[side]));
  });
}

function toggle(button) {
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(on));
  if (button.dataset.toggle === "differences") markTurns(on);
  const pressed = Array.from(document.querySelectorAll("[data-toggle]")).some((one) => one.getAttribute("aria-pressed") === "true");
  document.querySelectorAll(".rendered").forEach((box) => { box.hidden = pressed; });
  document.querySelectorAll(".written").forEach((box) => { box.hidden = !pressed; });
}

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-toggle]") : null;
  if (button) toggle(button);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  if (event.key === "/" && document.getElementById("search")) {
    event.preventDefault();
    document.getElementById("search").focus();
    return;
  }
  if (document.body.classList.contains("browse") && (event.key === "j" || event.key === "k")) {
    event.preventDefault();
    go(event.key === "j" ? 1 : -1);
    return;
  }
  const target = Array.from(document.querySelectorAll("[data-key]")).find((one) => one.dataset.key === event.key);
  if (target) {
    event.preventDefault();
    target.click();
  }
});

const filters = document.getElementById("filters");
if (filters) {
  filters.addEventListener("change", (event) => {
    if (event.target instanceof HTMLSelectElement) filters.requestSubmit();
  });
  filters.addEventListener("formdata", (event) => {
    for (const [name, value] of Array.from(event.formData.entries())) if (value === "") event.formData.delete(name);
  });
}

/* In an export, a case's address ends in the filters it was chosen by, for the way back. */
const chosenBy = location.hash.slice(1);
if (document.body.classList.contains("open") && chosenBy.includes("=")) {
  document.querySelectorAll("nav.steps a").forEach((link) => {
    link.href = link.dataset.key === "u" ? `${link.href}?${chosenBy}` : `${link.href}#${chosenBy}`;
  });
}

const live = document.getElementById("live");
if (live && live.dataset.version && location.protocol !== "file:") {
  const look = async () => {
    try {
      if (document.visibilityState === "visible") {
        const said = await (await fetch("/version", { cache: "no-store" })).json();
        const now = document.getElementById("live");
        if (String(said.version) !== now.dataset.version) {
          const text = await (await fetch(location.href, { cache: "no-store" })).text();
          const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("live");
          const here = lines().findIndex((row) => row.classList.contains("here"));
          if (fresh) now.replaceWith(fresh);
          if (here >= 0 && lines()[here]) lines()[here].classList.add("here");
        }
        const waits = document.getElementById("live").dataset.version;
        setTimeout(look, waits === "searching" ? 50 : said.complete ? 2000 : 300);
        return;
      }
    } catch (error) {
      if (!(error instanceof TypeError) && !(error instanceof SyntaxError)) throw error;  // the server has ended
    }
    setTimeout(look, 4000);
  };
  setTimeout(look, ["-1", "searching"].includes(live.dataset.version) ? 300 : 1500);
}
