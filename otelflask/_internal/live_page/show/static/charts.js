// The chart of a panel, by uPlot. It is kept when the panel is updated.

/* global uPlot */
const known = new Map();
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const sync = uPlot.sync("panels");

const writers = {
  seconds: (value) => (value >= 1 ? `${value.toFixed(2)} s` : `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)} ms`),
  bytes: (value) => `${Math.round(value / 2 ** 20)} MiB`,
  share: (value) => `${(100 * value).toFixed(value && value < 0.1 ? 1 : 0)} %`,
  rate: (value) => {
    if (value && value < 0.1) return value * 60 >= 0.1 ? `${(60 * value).toFixed(1)}/min` : `${(3600 * value).toFixed(1)}/h`;
    return `${value.toFixed(value < 10 ? 2 : 0)}/s`;
  },
  count: (value) => String(value),
};

/** Values without a neighbour, which no line shows. */
function alone(chart, series) {
  const values = chart.data[series];
  const isThere = (at) => values[at] !== null && values[at] !== undefined;
  return values.map((_, at) => at).filter((at) => isThere(at) && !isThere(at - 1) && !isThere(at + 1));
}

function options(box) {
  const label = () => box.parentElement.querySelector(".at");
  return {
    width: box.clientWidth || 140,
    height: 40,
    legend: { show: false },
    axes: [{ show: false }, { show: false }],
    padding: [4, 4, 2, 4],
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 }, sync: { key: sync.key } },
    scales: { y: { range: (chart, least, most) => [0, most > 0 ? most * 1.05 : 1] } },
    series: [
      {},
      { stroke: () => color("--accent"), fill: () => color("--fill"), width: 1.5, points: { show: true, size: 4, filter: alone }, spanGaps: false },
    ],
    hooks: {
      setCursor: [
        (chart) => {
          const at = chart.cursor.idx;
          const value = at === null || at === undefined ? null : chart.data[1][at];
          const isOver = chart.cursor.left >= 0 && value !== null && value !== undefined;
          const time = isOver && new Date(chart.data[0][at] * 1000).toLocaleTimeString([], { hour12: false });
          if (label()) label().textContent = isOver ? `${time} · ${writers[box.dataset.kind](value)}` : "";
        },
      ],
    },
  };
}

/** Draws the charts below an element, or updates those that exist. */
export function drawCharts(element) {
  for (const box of element.querySelectorAll(".chart")) {
    const data = [JSON.parse(box.dataset.times), JSON.parse(box.dataset.values)];
    const drawn = known.get(box.id);
    if (!drawn) {
      const chart = new uPlot(options(box), data, box);
      known.set(box.id, { chart, box });
      continue;
    }
    // The existing chart's element replaces the new one.
    if (box !== drawn.box) box.replaceWith(drawn.box);
    drawn.box.dataset.kind = box.dataset.kind;
    drawn.chart.setData(data);
  }
}

addEventListener("resize", () => {
  for (const { chart, box } of known.values()) chart.setSize({ width: box.clientWidth, height: 40 });
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const { chart } of known.values()) chart.redraw();
});
