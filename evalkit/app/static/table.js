"use strict";
/* The table of an export: the same filters over lines that lie beside the page, in the address like those of the
   server. Everything is put in as text. */

const SHOWN = 200;
const asked = new URLSearchParams(location.search);
const form = document.getElementById("filters");
const places = Object.fromEntries(caseFields.map((name, at) => [name, at]));
const value = (line, name) => line[places[name]];

for (const [name, text] of asked) {
  const field = form.elements.namedItem(name);
  if (field) field.value = text;
}

function ofModel(line, model) {
  const models = value(line, "models"), score = value(line, "value");
  return models.length === 2 && score !== null && models[1] === model ? 1 - score : score;
}

function keeps(line) {
  const is = (name) => asked.get(name) || "";
  for (const name of ["benchmark", "category", "run"]) if (is(name) && String(value(line, name)) !== is(name)) return false;
  if (is("judge") && value(line, "judge_name") !== is("judge")) return false;
  for (const name of ["model", "other"]) if (is(name) && !value(line, "model_names").includes(is(name))) return false;
  const score = ofModel(line, is("model")), pair = value(line, "models").length === 2;
  if (is("low") && !(score !== null && score >= Number(is("low")))) return false;
  if (is("high") && !(score !== null && score <= Number(is("high")))) return false;
  const off = pair && score !== null ? score - 0.5 : NaN;
  if (is("verdict") === "win" ? !(off > 1e-9) : is("verdict") === "loss" ? !(off < -1e-9)
    : is("verdict") === "tie" ? !(Math.abs(off) <= 1e-9) : is("verdict") && !value(line, "labels").includes(is("verdict"))) return false;
  const kinds = value(line, "kinds");
  if (is("failure") === "any" ? !kinds.length : is("failure") === "none" ? kinds.length
    : is("failure") && !kinds.includes(is("failure"))) return false;
  if (is("people") === "disagree" && !value(line, "marks").includes("people disagree")) return false;
  if (is("people") === "judged" && !value(line, "voted")) return false;
  if (is("orders") && !value(line, "marks").includes("orders disagree")) return false;
  const words = is("q").toLowerCase();
  return !words || [value(line, "item"), value(line, "question")].join("\n").toLowerCase().includes(words);
}

function standing(line) {
  const score = value(line, "standing");
  if (score === null) return Infinity;
  const model = asked.get("model");
  if (value(line, "models").length !== 2) return score;
  if (!model) return Math.min(score, 1 - score);
  return value(line, "models")[1] === model ? 1 - score : score;
}

const down = (name) => (line) => (value(line, name) === null ? Infinity : -value(line, name));
const orders = {
  worst: standing,
  best: (line) => (standing(line) === Infinity ? Infinity : -standing(line)),
  difference: down("spread"),
  disagreement: down("apart"),
  longest: down("length"),
  newest: down("newest"),
  stored: () => 0,
};

function cell(text, kind, small) {
  const made = document.createElement("td");
  if (kind) made.className = kind;
  made.append(document.createTextNode(text));
  if (small) {
    const below = document.createElement("small");
    below.textContent = small;
    made.append(below);
  }
  return made;
}

function row(line) {
  const made = document.createElement("tr");
  const first = cell("", "name", value(line, "category"));
  const link = document.createElement("a");
  link.href = value(line, "href") + location.search.replace("?", "#");  // the way back to the same lines
  link.textContent = `${value(line, "item")} ${value(line, "asked")}`;
  first.prepend(link);
  made.append(
    first, cell(value(line, "turn")), cell(value(line, "models").join(" / "), "name"), cell(value(line, "judge"), "name"),
    cell(value(line, "verdict"), `name tone-${value(line, "tone")}`, value(line, "marks").join(", ")),
    cell(value(line, "people"), "name"), cell(value(line, "length") ? value(line, "length").toLocaleString("en") : ""),
  );
  return made;
}

const order = orders[asked.get("sort")] || orders.worst;
const found = caseLines.filter(keeps).map((line, at) => [order(line), at, line])
  .sort((one, other) => (one[0] === other[0] ? one[1] - other[1] : one[0] < other[0] ? -1 : 1)).map((one) => one[2]);
const body = document.getElementById("rows");
let count = 0;

function more() {
  body.append(...found.slice(count, count + SHOWN).map(row));
  count = Math.min(found.length, count + SHOWN);
  document.getElementById("count").textContent =
    `${found.length.toLocaleString("en")} of ${caseLines.length.toLocaleString("en")} cases`;
  const pages = document.getElementById("pages");
  pages.replaceChildren();
  if (count < found.length) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `More (${(found.length - count).toLocaleString("en")})`;
    button.addEventListener("click", more);
    pages.append(button);
  }
}
more();
