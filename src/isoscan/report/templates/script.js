"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const NS = "http://www.w3.org/2000/svg";
  const draw = (parent, tag, attributes, text) => {
    const node = document.createElementNS(NS, tag);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text !== undefined) node.textContent = text;
    parent.appendChild(node);
    return node;
  };
  const make = (parent, tag, text, className) => {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    if (className) node.className = className;
    parent.appendChild(node);
    return node;
  };
  const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 3 });
  const write = (x) => (x === null ? "–" : (Math.abs(x) >= 1e4 && Math.abs(x) < 1e15 ? grouped.format(x) : String(x)).replace("-", "−"));
  let pick = () => {};

  /* light or dark */
  const theme = byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const nameTheme = () => { theme.textContent = isDark() ? "Light" : "Dark"; theme.setAttribute("aria-label", "Switch to " + theme.textContent.toLowerCase() + " colours"); };
  theme.hidden = false;
  theme.addEventListener("click", () => { document.documentElement.dataset.theme = isDark() ? "light" : "dark"; nameTheme(); });
  system.addEventListener("change", nameTheme);
  nameTheme();

  /* print everything */
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((part) => { part.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((part) => { part.open = false; }));

  /* tables that sort */
  document.querySelectorAll("table.sortable").forEach((table) => {
    const body = table.tBodies[0];
    const value = (row, column) => {
      const cell = row.cells[column];
      if (column === 0) return cell.textContent;
      return cell.dataset.value === "" ? NaN : Number(cell.dataset.value);
    };
    const compare = (a, b) => {
      if (typeof a === "string") return a.localeCompare(b, undefined, { numeric: true });
      if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
      return a - b;
    };
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const label = heading.textContent;
      heading.textContent = "";
      const button = make(heading, "button", label);
      button.type = "button";
      button.addEventListener("click", () => {
        const down = heading.getAttribute("aria-sort") === "descending" || (column === 0 && !heading.hasAttribute("aria-sort"));
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", down ? "ascending" : "descending");
        const missing = (row) => Number.isNaN(value(row, column));
        const rows = [...body.rows].sort((a, b) => {
          const order = compare(value(a, column), value(b, column));
          return down || missing(a) || missing(b) ? order : -order;
        });
        body.append(...rows);
      });
    });
  });

  /* cells under the pointer */
  document.querySelectorAll("[data-readout]").forEach((readout) => {
    const name = readout.dataset.readout;
    const svg = document.querySelector(`[data-drawing="${name}"] svg`);
    const panels = data.panels[name] || [];
    const find = (event) => {
      const frame = svg.getBoundingClientRect();
      const x = (event.clientX - frame.left) / frame.width;
      const y = (event.clientY - frame.top) / frame.height;
      for (const panel of panels) {
        const [left, top, width, height] = panel.box;
        const column = Math.floor(((x - left) / width) * panel.columns.length);
        const row = Math.floor(((y - top) / height) * panel.rows.length);
        if (column >= 0 && row >= 0 && column < panel.columns.length && row < panel.rows.length) return { panel, row, column };
      }
      return null;
    };
    svg.addEventListener("pointermove", (event) => {
      const cell = find(event);
      if (!cell) return;
      const { panel, row, column } = cell;
      const value = panel.values[row][column];
      readout.textContent = `${panel.rows[row]} · ${panel.columns[column]} · ${panel.prefix}${write(value)}${value === null ? "" : panel.suffix}`;
      svg.style.cursor = position.has(panel.columns[column]) ? "pointer" : "";
    });
    svg.addEventListener("click", (event) => {
      const cell = find(event);
      if (cell && position.has(cell.panel.columns[cell.column])) {
        pick(position.get(cell.panel.columns[cell.column]));
        byId("features").scrollIntoView();
      }
    });
  });

  /* one feature, all sites */
  const features = data.features;
  const position = new Map(features ? features.names.map((name, index) => [name, index]) : []);
  if (!features) return;
  const at = Object.fromEntries(features.statistics.map((name, index) => [name, index]));
  const moments = ["before", "after"].filter((when) => features[when]);
  const search = byId("search"), list = byId("options"), plot = byId("plot");
  const largest = Math.max(...features.site_effect.map((x) => x || 0), 1e-9);
  let chosen = 0;
  let shown = features.names.map((_, index) => index);
  const items = features.names.map((name, index) => {
    const item = make(list, "li");
    item.id = "option-" + index;
    item.setAttribute("role", "option");
    item.title = name;
    make(item, "span", name);
    make(item, "span", undefined, "amount").style.width = `${(100 * (features.site_effect[index] || 0)) / largest}%`;
    item.addEventListener("click", () => pick(index));
    return item;
  });

  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = [];
    items.forEach((item, index) => {
      const name = features.names[index].toLowerCase();
      item.hidden = !words.every((word) => name.includes(word));
      item.style.display = item.hidden ? "none" : "";
      if (!item.hidden) shown.push(index);
    });
    if (shown.length && !shown.includes(chosen)) pick(shown[0]);
  };
  const step = (by) => {
    if (!shown.length) return;
    const place = shown.indexOf(chosen) + by;
    pick(shown[(place + shown.length) % shown.length]);
  };
  const onKeys = (steps) => (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || !(event.key in steps)) return;
    event.preventDefault();
    step(steps[event.key]);
  };
  search.addEventListener("input", filter);
  search.addEventListener("keydown", onKeys({ ArrowDown: 1, ArrowUp: -1 }));
  plot.addEventListener("keydown", onKeys({ ArrowRight: 1, ArrowLeft: -1 }));
  byId("next").addEventListener("click", () => step(1));
  byId("previous").addEventListener("click", () => step(-1));
  document.querySelectorAll("[data-feature]").forEach((link) => link.addEventListener("click", () => {
    if (position.has(link.dataset.feature)) pick(position.get(link.dataset.feature));
  }));

  pick = (index) => {
    items[chosen].setAttribute("aria-selected", "false");
    chosen = index;
    items[chosen].setAttribute("aria-selected", "true");
    search.setAttribute("aria-activedescendant", items[chosen].id);
    const item = items[chosen];
    if (item.offsetTop < list.scrollTop + list.offsetTop || item.offsetTop + item.offsetHeight > list.scrollTop + list.offsetTop + list.clientHeight) {
      list.scrollTop = item.offsetTop - list.offsetTop - list.clientHeight / 3;
    }
    byId("feature-name").textContent = features.names[chosen];
    const facts = byId("feature-facts");
    facts.textContent = "";
    (data.numbers[features.names[chosen]] || []).forEach(([label, before, after]) => {
      const line = make(facts, "li", label + " ");
      make(line, "b", before, "before");
      line.append(" → ");
      make(line, "b", after, "after");
    });
    redraw();
  };

  const middle = (values) => {
    const sorted = values.filter((x) => x !== null).sort((a, b) => a - b);
    const half = Math.floor(sorted.length / 2);
    return sorted.length ? (sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2) : null;
  };
  const siteOrder = () => {
    const order = features.sites.map((_, site) => site);
    if (!byId("by-median").checked) return order;
    const median = (site) => features.before[chosen][site][at.median];
    return order.sort((a, b) => (median(a) === null) - (median(b) === null) || median(a) - median(b));
  };
  const extent = () => {
    const [low, high] = byId("zoom").checked ? [at.q05, at.q95] : [at.min, at.max];
    let from = Infinity, to = -Infinity;
    for (const when of moments) for (const box of features[when][chosen]) {
      if (box[low] === null) continue;
      from = Math.min(from, box[low]);
      to = Math.max(to, box[high]);
    }
    if (from > to) return [0, 1];
    const room = (to - from) * 0.03 || Math.abs(to) * 0.05 || 1;
    return [from - room, to + room];
  };
  const ticks = (from, to, most) => {
    const rough = (to - from) / most, power = 10 ** Math.floor(Math.log10(rough));
    const size = [1, 2, 5, 10].map((x) => x * power).find((x) => x >= rough);
    const digits = Math.max(0, -Math.floor(Math.log10(size) + 1e-9));
    const found = [];
    for (let x = Math.ceil(from / size) * size; x <= to + size * 1e-9; x += size) found.push([x, write(Number(x.toFixed(Math.min(digits, 15))))]);
    return found;
  };

  const describeBox = (site, when, box) => `${features.sites[site]}, ${when}: ${box[at.n]} scans\nmedian ${write(box[at.median])}, mean ${write(box[at.mean])}\nmiddle half ${write(box[at.q25])} to ${write(box[at.q75])}\n5–95 % ${write(box[at.q05])} to ${write(box[at.q95])}\nrange ${write(box[at.min])} to ${write(box[at.max])}`;

  const drawSite = (panel, when, site, y, height, x, from, to) => {
    const box = features[when][chosen][site];
    const group = draw(panel, "g", { class: "site" });
    draw(group, "rect", { class: "hit", x: x(from), y: y - height / 2, width: x(to) - x(from), height });
    draw(group, "title", {}, describeBox(site, when, box));
    if (box[at.median] === null) return;
    const inside = (value) => x(Math.min(Math.max(value, from), to));
    const line = (name, a, b) => draw(group, "line", { class: name, x1: inside(a), x2: inside(b), y1: y, y2: y });
    const thick = Math.min(height * 0.56, 14);
    line("range", box[at.min], box[at.max]);
    line("whisker", box[at.q05], box[at.q95]);
    draw(group, "rect", { class: "box", x: inside(box[at.q25]), y: y - thick / 2, width: Math.max(inside(box[at.q75]) - inside(box[at.q25]), 0.5), height: thick });
    draw(group, "line", { class: "median", x1: inside(box[at.median]), x2: inside(box[at.median]), y1: y - thick / 2, y2: y + thick / 2 });
    for (const [scan, value] of features.outlying[when][chosen][site]) {
      const label = `${features.scans[scan]}: ${write(value)}${features.notes[scan] ? `\n${features.notes[scan]}` : ""}`;
      const beyond = value < from ? -1 : value > to ? 1 : 0;
      const px = inside(value);
      const dot = beyond
        ? draw(group, "path", { class: "dot", d: `M${px + beyond * 3} ${y}l${-beyond * 7} -4v8z` })
        : draw(group, "circle", { class: "dot", cx: px, cy: y, r: 2.8 });
      draw(dot, "title", {}, label);
    }
  };

  const levelColours = ["#4477aa", "#ddaa33", "#44aa99", "#aa4499", "#999933", "#cc6677", "#88ccee"];
  const ruler = document.createElement("canvas").getContext("2d");
  const fit = (text, room) => {
    ruler.font = `12.5px ${getComputedStyle(document.body).fontFamily}`;
    let cut = text;
    while (cut.length > 1 && ruler.measureText(cut + "…").width > room && ruler.measureText(text).width > room) cut = cut.slice(0, -1);
    return { text: cut === text ? text : cut + "…", width: Math.min(ruler.measureText(text).width, room) };
  };

  const redraw = () => {
    const width = Math.max(plot.clientWidth, 280);
    const beside = width >= 560 && moments.length === 2;
    const order = siteOrder(), [from, to] = extent();
    const height = order.length > 40 ? 15 : order.length > 20 ? 19 : 24;
    const names = features.sites.map((name) => fit(name, beside ? 150 : 110));
    const labels = Math.max(...names.map((name) => name.width)) + 14, gap = 22;
    const panelWidth = beside ? (width - labels - gap - 8) / 2 : width - labels - 8;
    const panelHeight = order.length * height;
    const total = (beside ? 1 : moments.length) * (panelHeight + 62);
    plot.textContent = "";
    const svg = draw(plot, "svg", { viewBox: `0 0 ${width} ${total}`, role: "img", "aria-label": `${features.names[chosen]} at ${order.length} sites, ${moments.join(" and ")} harmonization` });
    moments.forEach((when, number) => {
      const left = labels + (beside ? number * (panelWidth + gap) : 0);
      const top = 24 + (beside ? 0 : number * (panelHeight + 62));
      const panel = draw(svg, "g", { class: when[0], "data-when": when });
      const x = (value) => left + ((value - from) / (to - from)) * panelWidth;
      if (moments.length === 2) draw(panel, "text", { class: "panel-title", x: left, y: top - 9, style: "fill:var(--c)" }, when);
      for (const [value, text] of ticks(from, to, Math.max(panelWidth / 75, 2))) {
        draw(panel, "line", { class: "grid", x1: x(value), x2: x(value), y1: top, y2: top + panelHeight });
        draw(panel, "text", { class: "muted", x: x(value), y: top + panelHeight + 16, "text-anchor": "middle" }, text);
      }
      const centre = middle(features[when][chosen].map((box) => box[at.median]));
      if (centre !== null) draw(panel, "line", { class: "middle", x1: x(centre), x2: x(centre), y1: top, y2: top + panelHeight });
      order.forEach((site, row) => {
        const y = top + (row + 0.5) * height;
        drawSite(panel, when, site, y, height, x, from, to);
        if (number && beside) return;
        const label = draw(panel, "text", { x: labels - 8, y: y + 4, "text-anchor": "end" }, names[site].text);
        draw(label, "title", {}, features.sites[site]);
      });
      draw(panel, "text", { class: "muted", x: left + panelWidth / 2, y: top + panelHeight + 33, "text-anchor": "middle" }, fit(features.names[chosen], panelWidth).text);
    });
    listNumbers(order);
    byId("curve-plot").textContent = "";
    data.curves.forEach((told) => drawCurves(told, Math.min(width, 720)));
  };

  const drawCurves = (told, width) => {
    const name = features.names[chosen], named = told.by !== null;
    if (!Object.hasOwn(told.curves, name)) return;
    const curves = told.curves[name];
    const ends = (sign) => curves.flatMap(([value, half]) => value.map((v, index) => v + sign * half[index]));
    const from = Math.min(...ends(-1), 0), to = Math.max(...ends(1), 0) || from + 1;
    const first = told.at[0], last = told.at[told.at.length - 1];
    const left = 70, right = width - 12, top = 26, bottom = 196;
    const x = (value) => left + ((value - first) / (last - first)) * (right - left);
    const y = (value) => bottom - ((value - from) / (to - from)) * (bottom - top);
    const svg = draw(byId("curve-plot"), "svg", { viewBox: `0 0 ${width} 236`, role: "img", "data-covariate": told.covariate, "aria-label": `What ${told.covariate} adds to ${name}, with a 95 % band` });
    draw(svg, "text", { class: "panel-title", x: left, y: 15 }, `what ${told.covariate} adds`);
    for (const [value, text] of ticks(from, to, 5)) {
      draw(svg, "line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) });
      draw(svg, "text", { class: "muted", x: left - 8, y: y(value) + 4, "text-anchor": "end" }, text);
    }
    for (const [value, text] of ticks(first, last, Math.max((right - left) / 75, 2))) {
      draw(svg, "text", { class: "muted", x: x(value), y: bottom + 17, "text-anchor": "middle" }, text);
    }
    draw(svg, "text", { class: "muted", x: (left + right) / 2, y: bottom + 34, "text-anchor": "middle" }, fit(told.covariate, right - left).text);
    const path = (points) => "M" + points.map(([a, b]) => `${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("L");
    const groups = told.levels.map((_, place) => draw(svg, "g", { class: "curve", style: `--c:${named ? levelColours[place % levelColours.length] : "var(--after)"}` }));
    const edge = (place, sign) => told.at.map((value, index) => [value, curves[place][0][index] + sign * curves[place][1][index]]);
    groups.forEach((group, place) => draw(group, "path", { class: "band", d: `${path([...edge(place, 1), ...edge(place, -1).reverse()])}Z` }));
    groups.forEach((_, place) => draw(draw(svg, "g", { class: "curve", style: groups[place].getAttribute("style") }), "path", { class: "line", d: path(edge(place, 0)) }));
    let end = right;
    for (let place = told.levels.length - 1; named && place >= 0; place--) {
      const label = fit(told.levels[place], 120);
      draw(groups[place], "text", { x: end, y: 15, "text-anchor": "end", style: "fill:var(--c);font-weight:600" }, label.text);
      end -= label.width + 16;
    }
  };

  const listNumbers = (order) => {
    const place = byId("plot-table");
    place.textContent = "";
    const table = make(place, "table");
    make(table, "caption", `${features.names[chosen]}: median (25% to 75%)`);
    const head = make(make(table, "thead"), "tr");
    ["Site", "Scans", ...moments].forEach((text) => { make(head, "th", text).scope = "col"; });
    const body = make(table, "tbody");
    for (const site of order) {
      const row = make(body, "tr");
      make(row, "th", features.sites[site]).scope = "row";
      make(row, "td", write(features.before[chosen][site][at.n]));
      for (const when of moments) {
        const box = features[when][chosen][site];
        make(row, "td", `${write(box[at.median])} (${write(box[at.q25])} to ${write(box[at.q75])})`, when);
      }
    }
  };

  byId("by-median").addEventListener("change", redraw);
  byId("zoom").addEventListener("change", redraw);
  let lastWidth = 0;
  new ResizeObserver(() => {
    if (Math.abs(plot.clientWidth - lastWidth) < 2) return;
    lastWidth = plot.clientWidth;
    requestAnimationFrame(redraw);
  }).observe(plot);
  pick(0);
})();
