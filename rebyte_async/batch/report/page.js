// Everything that an item or an agent said is put into the page as text, never as HTML, and never into Plotly as a label
// without being escaped: Plotly reads a little HTML in its texts.
(() => {
  "use strict";

  const data = JSON.parse(document.getElementById("data").textContent);
  const items = data.items;
  const size = items.key ? items.key.length : 0;
  const PER_PAGE = 50;
  const FEW = 60; // so many items have a row each in the timeline; more of them share rows
  const NAMES = { completed: "completed", failed: "failed", error: "error", ambiguous: "ambiguous", canceled: "canceled",
    running: "running", creating: "being created", accepted: "waiting", other: "other" };
  const state = { status: null, failure: null, words: [], sort: "place", down: false, page: 0, open: null };
  const searched = new Array(size); // each item's text for the search, made when it is first looked at

  const $ = (id) => document.getElementById(id);
  const status = (index) => data.statuses[items.status[index]];
  const number = (value) => value.toLocaleString("en");
  const duration = (index) => items.start[index] === null || items.end[index] === null ? null
    : (items.end[index] - items.start[index]) / 1000;
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  function element(name, properties = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
      if (key in made) made[key] = value; else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  }

  function marked(made, name) {
    made.style.setProperty("--status", `var(--${name})`);
    return made;
  }

  function inWords(seconds) {
    if (seconds === null) return "";
    if (seconds === 0) return "0 s";
    if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
    if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
    const whole = Math.round(seconds);
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
    return `${number(Math.floor(whole / 3600))} h ${Math.floor(whole % 3600 / 60)} min`;
  }

  const moment = (ms) => ms === null ? "" : new Date(ms).toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC");
  const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const oneLine = (text, longest) => {
    const line = text.slice(0, 4 * longest).replace(/\s+/g, " ").trim();
    return line.length > longest ? `${line.slice(0, longest - 1)}…` : line;
  };

  // What is above

  function showHead() {
    $("journal").textContent = data.journal;
    const about = [];
    if (data.first !== null) {
      about.push(`${moment(data.first)} to ${moment(data.last)} (${inWords((data.last - data.first) / 1000)})`);
    }
    if (data.attempts) about.push(`${number(data.attempts)} creates sent`);
    if (data.base_url) about.push(data.base_url);
    if (data.batch_id) about.push(`batch ${data.batch_id}`);
    $("about").textContent = about.join(" · ");
  }

  function showCounts() {
    const tile = (name, count, text) => {
      const made = element("button", { type: "button", className: "count" },
        element("b", { textContent: number(count) }), " ", element("span", { textContent: text }));
      made.setAttribute("aria-pressed", "false");
      made.dataset.status = name ?? "";
      made.addEventListener("click", () => choose({ status: state.status === name ? null : name, failure: null }));
      return name ? marked(made, name) : made;
    };
    $("counts").append(tile(null, data.total, data.total === 1 ? "item" : "items"));
    data.statuses.forEach((name, index) => {
      if (data.counts[index]) $("counts").append(tile(name, data.counts[index], NAMES[name]));
    });
  }

  function showFailures() {
    const groups = data.failures.map((group, index) => ({ ...group, index })).sort((a, b) => b.count - a.count);
    if (!groups.length) $("failures").append(element("p", { className: "quiet", textContent: "Nothing failed." }));
    for (const group of groups.slice(0, 200)) {
      const bar = element("i");
      bar.style.width = `${100 * group.count / groups[0].count}%`;
      const made = element("button", { type: "button", className: "failure", title: group.example },
        element("span", {}, element("b", { textContent: number(group.count) }), " ",
          element("span", { className: "what", textContent: `${NAMES[group.status]} · ${group.error}` })), bar);
      made.setAttribute("aria-pressed", "false");
      made.dataset.failure = group.index;
      made.addEventListener("click", () => {
        choose({ failure: state.failure === group.index ? null : group.index, status: null });
        $("items-section").scrollIntoView({ block: "start" });
      });
      $("failures").append(marked(made, group.status));
    }
    if (groups.length > 200) {
      $("failures").append(element("p", { className: "quiet", textContent: `and ${number(groups.length - 200)} more kinds` }));
    }
  }

  // The charts

  const CONFIG = { responsive: true, displaylogo: false, displayModeBar: false, showTips: false };

  function layout(more) {
    const axis = { gridcolor: color("line"), linecolor: color("line"), zeroline: false, tickfont: { color: color("soft") } };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: false, barmode: "stack",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: color("ink") }, bargap: 0.06,
      ...more, xaxis: { ...axis, ...more.xaxis }, yaxis: { ...axis, ...more.yaxis },
    };
  }

  function bars() {
    const each = size <= FEW;
    const rows = [];
    const placed = [];
    for (let index = 0; index < size; index++) {
      if (items.lane[index] === null) continue;
      const row = each ? placed.length : items.lane[index];
      placed.push(index);
      (rows[row] ??= []).push(index);
    }
    for (const row of rows) row.sort((a, b) => items.start[a] - items.start[b]);
    return { each, rows, placed };
  }

  function showTimeline() {
    const { each, rows, placed } = bars();
    if (!placed.length) {
      $("timeline-note").textContent = "No task has been started.";
      return;
    }
    let first = Infinity, last = -Infinity;
    for (const index of placed) {
      first = Math.min(first, items.start[index]);
      last = Math.max(last, items.end[index]);
    }
    const range = Math.max(last - first, 1);
    const height = Math.min(620, Math.max(150, rows.length * (each ? 20 : 9) + 50));
    const thick = Math.max(1, Math.min(14, (height - 46) / rows.length * 0.72));
    const label = each ? Math.min(190, 20 + 7 * Math.max(...placed.map((index) => Math.min(24, items.key[index].length)))) : 48;
    const time = (ms) => new Date(ms).toISOString().slice(0, -1).replace("T", "_");
    const paths = new Map();
    rows.forEach((row, place) => {
      for (const index of row) {
        // A bar ends a little early, so that two in a row look apart, and is wide enough to be seen.
        const end = Math.max(items.end[index] - range / 1200, items.start[index] + range / 700);
        const name = status(index);
        if (!paths.has(name)) paths.set(name, []);
        paths.get(name).push(`M${time(items.start[index])},${place}L${time(end)},${place}`);
      }
    });
    $("timeline-note").textContent = (each ? "A bar is an item." :
      `A bar is an item. ${number(placed.length)} items share ${number(rows.length)} rows: so many were at work at once.`) +
      " Drag to zoom, double-click to see all, click a bar to read its final result. Times are UTC.";
    const draw = () => Plotly.react("timeline",
      [{ type: "scatter", mode: "markers", x: [first, last], y: [0, rows.length - 1], marker: { opacity: 0 } }],
      layout({
        height, margin: { l: label, r: 16, t: 6, b: 40 }, dragmode: "zoom",
        xaxis: { type: "date", range: [first - range * 0.005, last + range * 0.01], showspikes: false },
        yaxis: {
          range: each ? [rows.length - 0.4, -0.6] : [-0.6, rows.length - 0.4], fixedrange: true, showgrid: false,
          ...(each ? { tickmode: "array", tickvals: placed.map((_, place) => place),
            ticktext: placed.map((index) => escaped(oneLine(items.key[index], 24))) }
            : { title: { text: "at once", font: { color: color("soft") } }, nticks: 6 }),
        },
        // One path a status is drawn ten times as fast as one shape or one segment of a line an item.
        shapes: [...paths].map(([name, parts]) => ({ type: "path", path: parts.join(""), layer: "above",
          line: { width: thick, color: color(name) } })),
      }), CONFIG);
    draw().then(() => listen($("timeline"), rows));
    redraw.push(draw);
  }

  function listen(chart, rows) {
    const at = (event) => {
      const area = chart.querySelector(".nsewdrag")?.getBoundingClientRect();
      if (!area || event.clientX < area.left || event.clientX > area.right) return null;
      const { xaxis, yaxis } = chart._fullLayout;
      const ms = xaxis.p2c(event.clientX - area.left);
      const row = rows[Math.round(yaxis.p2c(event.clientY - area.top))];
      const slack = (xaxis.p2c(3) - xaxis.p2c(0));
      return row?.findLast((index) => items.start[index] - slack <= ms && ms <= items.end[index] + slack) ?? null;
    };
    let down = null;
    chart.addEventListener("mousemove", (event) => {
      const index = at(event);
      chart.classList.toggle("hit", index !== null);
      showTip(index, event);
    });
    chart.addEventListener("mouseleave", () => showTip(null));
    chart.addEventListener("mousedown", (event) => { down = [event.clientX, event.clientY]; }, true);
    window.addEventListener("mouseup", (event) => {
      const still = down && Math.hypot(event.clientX - down[0], event.clientY - down[1]) < 4;
      down = null;
      const index = still ? at(event) : null;
      if (index !== null) reveal(index);
    }, true);
  }

  function showTip(index, event) {
    const tip = $("tip");
    tip.hidden = index === null;
    if (index === null) return;
    tip.replaceChildren(
      element("div", {}, element("b", { textContent: items.key[index] })),
      marked(element("div", { className: "status", textContent: `${NAMES[status(index)]} · ${inWords(duration(index))}` }), status(index)),
      element("div", { textContent: `from ${moment(items.start[index])}` }),
      element("div", { textContent: oneLine(items.error[index] || items.result[index], 120) }));
    tip.style.left = 0; // or its width would be what is left beside the last place
    const { width, height } = tip.getBoundingClientRect();
    const right = document.documentElement.clientWidth - width - 8;
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, right))}px`;
    tip.style.top = `${event.clientY + 18 + height > innerHeight ? event.clientY - height - 12 : event.clientY + 18}px`;
  }

  function showDurations() {
    const { edges, counts, percentiles } = data.durations;
    const names = Object.keys(counts);
    if (!names.length) {
      $("durations").append(element("p", { className: "quiet", textContent: "Nothing has ended yet." }));
      return;
    }
    const words = { 50: "median", 90: "90 %", 99: "99 %", 100: "longest" };
    for (const [rank, seconds] of Object.entries(percentiles)) {
      $("percentiles").append(element("span", {}, `${words[rank]} `, element("b", { textContent: inWords(seconds) })));
    }
    const places = edges.slice(0, -1).map((_, index) => index + 0.5);
    const step = Math.ceil((edges.length - 1) / 6);
    const ticks = edges.map((_, index) => index).filter((index) => index % step === 0);
    const draw = () => Plotly.react("durations",
      names.map((name) => ({ type: "bar", name, x: places, y: counts[name], marker: { color: color(name) },
        hovertext: counts[name].map((count, index) => `${number(count)} ${name}, ${inWords(edges[index])} to ${inWords(edges[index + 1])}`),
        hoverinfo: "text" })),
      layout({
        height: 260, margin: { l: 48, r: 12, t: 6, b: 26 }, hovermode: "closest", dragmode: false,
        xaxis: { tickmode: "array", tickvals: ticks, ticktext: ticks.map((index) => inWords(edges[index])), showgrid: false,
          fixedrange: true, range: [-0.1, edges.length - 0.9] },
        yaxis: { fixedrange: true, rangemode: "tozero", title: { text: "items", font: { color: color("soft") } } },
      }), CONFIG);
    draw();
    redraw.push(draw);
  }

  // The table

  // Metadata comes as pairs, so that no name in it is taken for a property of an object.
  const known = (index, wanted) => items.metadata[index].find(([name]) => name === wanted)?.[1] ?? null;

  // Numbers are sorted as such where a column has no other values.
  function sorted(name) {
    const of = (index) => known(index, name) || null;
    const isNumeric = (index) => of(index) === null || /^-?\d+(\.\d+)?$/.test(of(index));
    const areNumbers = items.metadata.every((_, index) => isNumeric(index));
    return areNumbers ? (index) => of(index) === null ? null : Number(of(index)) : of;
  }

  const COLUMNS = [
    { name: "place", title: "#", width: "64px", of: (index) => index, text: (index) => number(index + 1), number: true },
    { name: "key", title: "Key", width: data.metadata.length ? "16%" : "20%", of: (index) => items.key[index], text: (index) => oneLine(items.key[index], 200) },
    { name: "status", title: "Status", width: "130px", of: (index) => items.status[index], text: (index) => NAMES[status(index)] },
    { name: "start", title: "Started", width: "170px", of: (index) => items.start[index], text: (index) => moment(items.start[index]).slice(0, 19) },
    { name: "duration", title: "Took", width: "104px", of: duration, text: (index) => inWords(duration(index)), number: true },
    ...data.metadata.map((name, place) => ({ name: `metadata meta${place}`, title: oneLine(name, 60), width: "8%", of: sorted(name),
      text: (index) => oneLine(known(index, name) ?? "", 60) })),
    { name: "said", title: "Final result or error", of: null, text: (index) => oneLine(items.error[index] || items.result[index], 200) },
  ];
  const classOf = (column) => column.number ? `${column.name} number` : column.name;
  let found = [];

  function showHeading() {
    const row = $("items").tHead.rows[0];
    for (const column of COLUMNS) {
      const made = element("th", { scope: "col", className: classOf(column) });
      if (column.width) made.style.width = column.width;
      if (column.of) {
        made.tabIndex = 0;
        const sort = () => choose({ down: state.sort === column.name && !state.down, sort: column.name });
        made.addEventListener("click", sort);
        made.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
      }
      row.append(made);
    }
  }

  function textOf(index) {
    return searched[index] ??= [items.key, items.prompt, items.result, items.error, items.task, items.workspace, items.how]
      .map((column) => column[index] ?? "").concat(items.metadata[index].map(([, text]) => text)).join("\n").toLowerCase();
  }

  function find() {
    found = [];
    for (let index = 0; index < size; index++) {
      if (state.status !== null && status(index) !== state.status) continue;
      if (state.failure !== null && items.group[index] !== state.failure) continue;
      if (state.words.length && !state.words.every((word) => textOf(index).includes(word))) continue;
      found.push(index);
    }
    const { of } = COLUMNS.find((column) => column.name === state.sort);
    const way = state.down ? -1 : 1;
    found.sort((a, b) => {
      const [one, other] = [of(a), of(b)];
      if (one === null || other === null) return (one === null) - (other === null) || a - b;
      return way * (one < other ? -1 : one > other ? 1 : 0) || a - b;
    });
  }

  function choose(change) {
    Object.assign(state, { page: 0, open: null }, change);
    find();
    showPage();
  }

  const wordsOf = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

  function reveal(index) {
    showTip(null);
    $("search").value = "";
    choose({ status: null, failure: null, words: [], sort: "place", down: false, page: Math.floor(index / PER_PAGE) });
    open(index);
    document.querySelector("tr.details")?.previousElementSibling.scrollIntoView({ block: "start" });
  }

  function open(index) {
    state.open = index;
    showPage();
    // The address leads to the item, so that it can be passed on.
    history.replaceState(null, "", index === null ? "#" : `#${new URLSearchParams({ item: items.key[index] })}`);
  }

  // An address may name an item, a status or words: page.html#item=KEY, #status=failed, #search=WORDS.
  function follow() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    const index = wanted.has("item") ? items.key?.indexOf(wanted.get("item")) ?? -1 : -1;
    if (index >= 0) {
      reveal(index);
    } else if (wanted.has("search") || wanted.has("status")) {
      $("search").value = wanted.get("search") ?? "";
      choose({ words: wordsOf($("search").value), status: wanted.get("status") });
    }
  }

  function showPage() {
    const pages = Math.max(1, Math.ceil(found.length / PER_PAGE));
    state.page = Math.min(state.page, pages - 1);
    const shown = found.slice(state.page * PER_PAGE, (state.page + 1) * PER_PAGE);
    $("items").tBodies[0].replaceChildren(...shown.flatMap((index) =>
      index === state.open ? [itemRow(index), detailsRow(index)] : [itemRow(index)]));
    $("found").textContent = found.length === size ? "" : `${number(found.length)} of ${number(size)}`;
    $("page").textContent = `${number(state.page + 1)} of ${number(pages)}`;
    $("previous").disabled = state.page === 0;
    $("next").disabled = state.page === pages - 1;
    for (const made of document.querySelectorAll(".count")) {
      made.setAttribute("aria-pressed", String(made.dataset.status !== "" && made.dataset.status === state.status));
    }
    for (const made of document.querySelectorAll(".failure")) {
      made.setAttribute("aria-pressed", String(Number(made.dataset.failure) === state.failure));
    }
    const limit = state.failure !== null ? data.failures[state.failure].error : state.status !== null ? NAMES[state.status] : "";
    $("clear").hidden = !limit;
    $("clear").textContent = `× ${limit}`;
    [...$("items").tHead.rows[0].cells].forEach((cell, place) => {
      const column = COLUMNS[place];
      const here = column.name === state.sort;
      cell.setAttribute("aria-sort", here ? (state.down ? "descending" : "ascending") : "none");
      cell.textContent = column.title + (here ? (state.down ? " ↓" : " ↑") : "");
    });
  }

  function itemRow(index) {
    const cells = COLUMNS.map((column) => {
      const cell = element("td", { className: classOf(column), textContent: column.text(index) });
      return column.name === "status" ? marked(cell, status(index)) : cell;
    });
    const row = element("tr", { className: "item", tabIndex: 0 }, ...cells);
    row.setAttribute("aria-expanded", String(index === state.open));
    const toggle = () => open(index === state.open ? null : index);
    row.addEventListener("click", () => { if (!String(getSelection())) toggle(); });
    row.addEventListener("keydown", (event) => { if (event.key === "Enter") toggle(); });
    return row;
  }

  function detailsRow(index) {
    const facts = [["Key", items.key[index]], ["Task", items.task[index]], ["Agent computer", items.workspace[index]],
      ["Executor", items.how[index]], ["Creates sent", number(items.attempts[index])],
      ["From", moment(items.start[index])], ["To", status(index) in OPEN ? "" : moment(items.end[index])]];
    const metadata = element("dl", { className: "metadata" });
    for (const [name, value] of items.metadata[index]) {
      metadata.append(element("dt", { textContent: name }), element("dd", { textContent: value }));
    }
    const list = element("dl");
    for (const [name, value] of facts) {
      if (value) list.append(element("dt", { textContent: name }), element("dd", { textContent: value }));
    }
    const cell = element("td", { colSpan: [...$("items").tHead.rows[0].cells].filter((cell) => cell.offsetWidth).length }, list);
    const text = (title, value, className = "") => {
      if (value) cell.append(element("h3", { textContent: title }), element("pre", { textContent: value, className }));
    };
    if (metadata.hasChildNodes()) cell.append(element("h3", { textContent: "Metadata" }), metadata);
    text("Prompt", items.prompt[index]);
    text("Error", items.error[index], "error");
    text("Final result", items.result[index]);
    if (items.more[index]) {
      cell.append(element("p", { className: "note", textContent: `${number(items.more[index])} more characters aren't in this page. ` +
        `The whole result: rebyte-async batch export ${data.journal}, or the task itself.` }));
    }
    return element("tr", { className: "details" }, cell);
  }

  const OPEN = { running: true, creating: true, accepted: true };

  function showTable() {
    showHeading();
    let waiting;
    $("search").addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => choose({ words: wordsOf($("search").value) }), 120);
    });
    $("clear").addEventListener("click", () => choose({ status: null, failure: null }));
    $("previous").addEventListener("click", () => { state.page--; state.open = null; showPage(); });
    $("next").addEventListener("click", () => { state.page++; state.open = null; showPage(); });
    const notes = [];
    if (size < data.total) notes.push(`Of ${number(data.total)} items, ${number(size)} are shown here and in the timeline: failures first.`);
    if ((items.more ?? []).some(Boolean)) notes.push(`Final results of more than ${number(data.cap)} characters are cut.`);
    if (notes.length) notes.push(`All of it: rebyte-async batch export ${data.journal}`);
    $("items-note").textContent = notes.join(" ");
    find();
    showPage();
  }

  const redraw = [];
  showHead();
  showCounts();
  showFailures();
  showTable();
  showTimeline();
  showDurations();
  follow();
  addEventListener("hashchange", follow);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw.forEach((draw) => draw()));
  document.body.dataset.ready = "yes";
})();
