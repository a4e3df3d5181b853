"use strict";
(() => {
  const number = text => (text === "" ? NaN : Number(text));

  // Numbers by value, words by the alphabet; what is empty comes last either way.
  const compare = (a, b, sign) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const [x, y] = [number(a), number(b)];
    if (!Number.isNaN(x) && !Number.isNaN(y)) return sign * (x - y);
    return sign * a.localeCompare(b, "en", { numeric: true });
  };

  const sort = (table, column) => {
    const heads = [...table.tHead.rows[0].cells];
    const descending = heads[column].getAttribute("aria-sort") === "ascending";
    heads.forEach(head => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map(row => [row.cells[column].textContent, row]);
    rows.sort((a, b) => compare(a[0], b[0], descending ? -1 : 1));
    body.append(...rows.map(([, row]) => row));
  };

  for (const table of document.querySelectorAll(".scroll table")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => sort(table, column));
    });
    for (const cell of table.querySelectorAll("td")) {
      if (!Number.isNaN(number(cell.textContent))) cell.className = "number";
    }
  }

  const form = document.getElementById("filters");
  const selects = [...form.elements].filter(element => element.name);

  // Rows that do not name an entity belong to all of its values.
  const wanted = row => selects.every(select => {
    const values = row.dataset[select.name];
    return !select.value || !values || values.split(" ").includes(select.value);
  });

  const show = () => {
    for (const details of document.querySelectorAll("details.table")) {
      const rows = [...details.querySelectorAll("tbody tr")];
      for (const row of rows) row.hidden = !wanted(row);
      const shown = rows.filter(row => !row.hidden).length;
      details.querySelector(".count").textContent =
        shown === rows.length ? `${rows.length} rows` : `${shown} of ${rows.length} rows`;
    }
    const chosen = new URLSearchParams(
      selects.filter(select => select.value).map(select => [select.name, select.value])
    ).toString();
    history.replaceState(null, "", location.pathname + (chosen && `?${chosen}`) + location.hash);
  };

  form.hidden = selects.length === 0;
  for (const [name, value] of new URLSearchParams(location.search)) {
    const select = selects.find(one => one.name === name);
    if (select && [...select.options].some(option => option.value === value)) select.value = value;
  }
  form.addEventListener("change", show);
  form.addEventListener("reset", () => setTimeout(show));
  if (selects.some(select => select.value)) show();

  const open = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.tagName === "DETAILS") target.open = true;
  };
  window.addEventListener("hashchange", open);
  open();
})();
