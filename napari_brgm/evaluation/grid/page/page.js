"use strict";
// Sorting: a click on a heading brings its best (or first) lines to the top, another click turns the order round.
function valueOf(row, column) {
  const cell = row.cells[column];
  const text = (cell.firstChild ? cell.textContent : "").trim().replace("−", "-");
  return column === 0 ? text.toLowerCase() : parseFloat(text);
}

function sortBy(heading) {
  const table = heading.closest("table");
  const column = heading.cellIndex;
  const most = heading.textContent.trim() === "images" || Number(table.dataset.better) > 0;
  const first = column > 0 && most ? "descending" : "ascending";
  const other = first === "ascending" ? "descending" : "ascending";
  const order = heading.getAttribute("aria-sort") === first ? other : first;
  const sign = order === "ascending" ? 1 : -1;
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => {
    const [x, y] = [valueOf(a, column), valueOf(b, column)];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y); // what was not measured comes last
    return x < y ? -sign : x > y ? sign : 0;
  });
  for (const one of table.tHead.querySelectorAll("th")) one.setAttribute("aria-sort", one === heading ? order : "none");
  table.tBodies[0].append(...rows);
}

for (const button of document.querySelectorAll(".sortable th button")) {
  button.addEventListener("click", () => sortBy(button.closest("th")));
}

// Choices: one measure, one task at a time.
for (const select of document.querySelectorAll("select[data-shows]")) {
  const choices = document.querySelectorAll(`[data-of="${select.dataset.shows}"]`);
  const show = () => choices.forEach((one) => (one.hidden = one.dataset.is !== select.value));
  select.addEventListener("change", show);
  show();
}

// Enlarged pictures: the others of the same image in the same place.
const large = document.getElementById("large");
let tiles = [];
let at = 0;

function enlarge(number) {
  const tile = tiles[number];
  large.querySelector("img").src = tile.querySelector("img").src;
  large.querySelector("img").alt = tile.querySelector("img").alt;
  const caption = tile.closest("figure").querySelector("figcaption").textContent;
  const said = [".title", ".note"].map((name) => tile.querySelector(name).textContent).join(": ");
  large.querySelector("p").textContent = `${said} (${number + 1} of ${tiles.length}) — ${caption}`;
}

function step(by) {
  at = (at + by + tiles.length) % tiles.length;
  enlarge(at);
}

for (const tile of document.querySelectorAll(".tile")) {
  tile.addEventListener("click", () => {
    tiles = [...tile.closest("figure").querySelectorAll(".tile")];
    at = tiles.indexOf(tile);
    enlarge(at);
    large.showModal();
  });
}
for (const button of large.querySelectorAll("[data-step]")) {
  button.addEventListener("click", () => step(Number(button.dataset.step)));
}
const truth = large.querySelector("[data-truth]");
truth.addEventListener("pointerdown", () => enlarge(0));
for (const name of ["pointerup", "pointerleave"]) truth.addEventListener(name, () => tiles.length && enlarge(at));
large.addEventListener("click", (event) => event.target === large && large.close());
large.addEventListener("keydown", (event) => {
  if (event.key === "ArrowRight") step(1);
  else if (event.key === "ArrowLeft") step(-1);
  else if (event.key === " " && event.target.tagName !== "INPUT") enlarge(0);
  else return;
  event.preventDefault();
});
large.addEventListener("keyup", (event) => event.key === " " && (event.preventDefault(), enlarge(at)));
