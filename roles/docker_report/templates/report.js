(function () {
  "use strict";
  var table = document.querySelector("table.fleet");
  var bodies = Array.prototype.slice.call(table.tBodies);
  var heads = Array.prototype.slice.call(table.tHead.rows[0].cells);
  var chips = Array.prototype.slice.call(document.querySelectorAll("[data-filter]"));
  var search = document.getElementById("search");
  var order = document.getElementById("order");
  var shown = document.getElementById("shown");
  document.documentElement.classList.add("js");

  function key(body, column) {
    return body.rows[0].cells[column].getAttribute("data-sort") || "";
  }

  function sort(column, direction) {
    var numeric = heads[column].hasAttribute("data-numeric");
    bodies.sort(function (one, other) {
      var a = key(one, column), b = key(other, column);
      // What is not known comes last, whatever the direction.
      if (a === "" || b === "") { return (a === "") - (b === ""); }
      var by = numeric ? Number(a) - Number(b) : a.localeCompare(b, undefined, { numeric: true });
      return (direction === "descending" ? -by : by) || key(one, 0).localeCompare(key(other, 0), undefined, { numeric: true });
    });
    bodies.forEach(function (body) { table.appendChild(body); });
    heads.forEach(function (head, number) {
      if (number === column) { head.setAttribute("aria-sort", direction); } else { head.removeAttribute("aria-sort"); }
    });
    order.value = column + " " + direction;
  }

  function filter() {
    var topic = chips.filter(function (chip) { return chip.getAttribute("aria-pressed") === "true"; })[0].getAttribute("data-filter");
    var words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    var count = 0;
    bodies.forEach(function (body) {
      var text = body.textContent.toLowerCase();
      var fits = (topic === "" || body.getAttribute("data-topics").split(" ").indexOf(topic) >= 0) &&
        words.every(function (word) { return text.indexOf(word) >= 0; });
      body.hidden = !fits;
      count += fits ? 1 : 0;
    });
    shown.textContent = count === bodies.length ? "" : count + " of " + bodies.length + " hosts shown.";
  }

  heads.forEach(function (head, column) {
    head.querySelector("button").addEventListener("click", function () {
      sort(column, head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending");
    });
  });
  chips.forEach(function (chip) {
    chip.addEventListener("click", function () {
      chips.forEach(function (other) { other.setAttribute("aria-pressed", String(other === chip)); });
      filter();
    });
  });
  search.addEventListener("input", filter);
  order.addEventListener("change", function () {
    var parts = order.value.split(" ");
    sort(Number(parts[0]), parts[1]);
  });

  // On paper nobody can open anything.
  var opened = [];
  window.addEventListener("beforeprint", function () {
    opened = Array.prototype.slice.call(document.querySelectorAll("details:not([open])"));
    opened.forEach(function (one) { one.open = true; });
  });
  window.addEventListener("afterprint", function () {
    opened.forEach(function (one) { one.open = false; });
  });
  sort(1, "ascending");
}());
