"use strict";
(function () {
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const drawn = new Map();  // the width of each plot when it was drawn
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  // A colour that is "$name" is that property of the style sheet.
  function themed(value, style) {
    if (Array.isArray(value)) return value.map((inner) => themed(inner, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, inner]) => {
        const named = name === "color" && typeof inner === "string" && inner.startsWith("$");
        return [name, named ? style.getPropertyValue("--" + inner.slice(1)).trim() : themed(inner, style)];
      }));
    }
    return value;
  }

  // A long label breaks near its middle: cut off, the names of two models could look alike.
  function inTwoLines(text) {
    if (text.length <= 21) return text;
    const middle = text.length / 2;
    const breaks = [...text.matchAll(/[ /_:,-]/g)].map((found) => found.index + 1);
    if (!breaks.length) return text.slice(0, 20) + "…";
    const at = breaks.reduce((best, one) => (Math.abs(one - middle) < Math.abs(best - middle) ? one : best));
    return text.slice(0, at).trimEnd() + "<br>" + text.slice(at).trimStart();
  }

  function draw(place) {
    const plot = plots[Number(place.id.replace("plot-", ""))];
    drawn.set(place, place.clientWidth);
    const style = getComputedStyle(document.documentElement);
    const [ink, line, paper] = ["--ink", "--line", "--paper"].map((name) => style.getPropertyValue(name).trim());
    const axis = { gridcolor: line, zeroline: false, fixedrange: true };
    const still = place.querySelector(".still");
    if (still) still.remove();
    place.style.height = plot.height + "px";
    const own = themed(plot.layout, style);
    const layout = {
      ...own,
      width: place.clientWidth || undefined,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink, family: "system-ui, sans-serif", size: 13 },
      margin: own.polar ? { l: 84, r: 84, t: 40, b: 24 } : { l: 56, r: 28, t: 16, b: 48 },
      legend: { orientation: "h", x: 0, xanchor: "left", y: 1, yanchor: "bottom" },
      hoverlabel: { bgcolor: paper, font: { color: ink } },
      dragmode: false,
    };
    if (own.polar) {
      layout.polar = {
        bgcolor: "rgba(0,0,0,0)",
        radialaxis: { ...own.polar.radialaxis, gridcolor: line, tickformat: ".0%", angle: 68, tickangle: 90, nticks: 4 },
        angularaxis: { gridcolor: line, linecolor: line, rotation: 90, direction: "clockwise" },
      };
      layout.legend.y = 1.1;
    } else {
      layout.xaxis = { ...axis, ...own.xaxis };
      layout.yaxis = { ...axis, ...own.yaxis };
      if (place.clientWidth < 480) layout.xaxis.title = { ...own.xaxis.title, font: { size: 12 } };
      if (place.clientWidth < 480 && own.yaxis.ticktext) {
        layout.yaxis.ticktext = own.yaxis.ticktext.map(inTwoLines);
        layout.yaxis.tickfont = { size: 11 };
      }
    }
    Plotly.react(place, themed(plot.data, style), layout, { displayModeBar: false, displaylogo: false });
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
