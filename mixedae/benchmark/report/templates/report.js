"use strict";
const first = (cell) => {
  const number = parseFloat(cell.textContent.trim().replace("\u2212", "-").replace("[", ""));
  return Number.isNaN(number) ? cell.textContent.trim().toLowerCase() : number;
};
const compare = (a, b) =>
  typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1; // numbers before words
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, index) => {
    heading.querySelector("button").addEventListener("click", () => {
      const direction = heading.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", direction);
      const sign = direction === "ascending" ? 1 : -1;
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => sign * compare(first(a.cells[index]), first(b.cells[index])));
      table.tBodies[0].append(...rows);
    });
  });
}
const all = [...document.querySelectorAll("details")];
document.getElementById("unfold").addEventListener("click", (event) => {
  const open = !all.every((item) => item.open);
  all.forEach((item) => { item.open = open; });
  event.target.textContent = open ? "Fold all" : "Unfold all";
});
