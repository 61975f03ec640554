
// Saving: charts as they stand, with a legend and on paper; tables as the page brought them.
const TYPES = { svg: "image/svg+xml", png: "image/png", csv: "text/csv", tex: "text/plain", md: "text/markdown" };

const keep = (blob, name) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};

const alone = (id) => {
  const spec = specs[id];
  const made = shown(spec, onPaper);
  made.width = 720;
  made.padding = { left: 16, top: 16, bottom: 16, right: 16 + spec.usermeta.labelRoom };
  made.title = { text: settings.titles[id], ...(filterWords() ? { subtitle: "shown: " + filterWords() } : {}) };
  return made;
};

const saveChart = async (id, kind) => {
  const place = document.createElement("div");
  const made = await embed(place, alone(id), { ...coloured(settings.config, onPaper), background: onPaper("paper") });
  if (kind === "svg") keep(new Blob([await made.view.toSVG()], { type: TYPES.svg }), `${id}.svg`);
  else {
    const canvas = await made.view.toCanvas(2);
    const blob = await new Promise((done) => canvas.toBlob(done, TYPES.png));
    keep(blob, `${id}.png`);
  }
  made.finalize();
};

const save = (id, kind) => {
  if (kind === "svg" || kind === "png") return saveChart(id, kind);
  keep(new Blob([saved[id][kind]], { type: `${TYPES[kind]};charset=utf-8` }), `${id}.${kind}`);
  return Promise.resolve();
};
