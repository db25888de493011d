"use strict";
(function () {
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const drawn = new Map();  // the width of each plot when it was drawn
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  // Plotly reads a little HTML in labels, and a model may be called anything.
  const literal = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const short = (text) => (text.length > 28 ? text.slice(0, 27) + "…" : text);

  function draw(place) {
    const plot = plots[Number(place.id.replace("plot-", ""))];
    drawn.set(place, place.clientWidth);
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--ink").trim();
    const line = style.getPropertyValue("--line").trim();
    const accent = style.getPropertyValue("--accent").trim();
    const points = plot.points.slice().reverse();
    const reach = (limit, estimate) => (limit === null ? 0 : Math.abs(limit - estimate));
    const trace = {
      type: "scatter",
      mode: "markers",
      x: points.map((p) => p[1]),
      y: points.map((_, i) => i),
      marker: { color: accent, size: 9 },
      error_x: {
        type: "data",
        symmetric: false,
        array: points.map((p) => reach(p[3], p[1])),
        arrayminus: points.map((p) => reach(p[2], p[1])),
        color: accent,
        thickness: 2,
        width: 4,
      },
      text: points.map((p) => literal(p[0])),
      hovertemplate: "%{text}<br>%{x:.5g}<extra></extra>",
    };
    const layout = {
      width: place.clientWidth || undefined,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink, family: "system-ui, sans-serif", size: 13 },
      margin: { l: 8, r: 16, t: 8, b: 44 },
      showlegend: false,
      xaxis: { title: { text: plot.unit + " with 95% interval" }, gridcolor: line, zeroline: false, fixedrange: true },
      yaxis: {
        tickvals: points.map((_, i) => i),
        ticktext: points.map((p) => literal(short(p[0]))),
        range: [-0.6, points.length - 0.4],
        automargin: true,
        gridcolor: line,
        zeroline: false,
        fixedrange: true,
      },
    };
    Plotly.react(place, [trace], layout, { displayModeBar: false, displaylogo: false });
  }

  const places = [...document.querySelectorAll(".plot")];
  places.forEach(draw);
  // At once, not after Plotly's own delay: a page may be printed as soon as it is narrower.
  const fit = new ResizeObserver((changes) => changes.forEach(({ target }) => {
    if (drawn.get(target) !== target.clientWidth) draw(target);
  }));
  places.forEach((place) => fit.observe(place));
  dark.addEventListener("change", () => places.forEach(draw));
})();
