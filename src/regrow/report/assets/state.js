"use strict";
const root = document.documentElement;
const json = (id) => JSON.parse(document.getElementById("json-" + id).textContent);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const specs = json("specs");
const saved = json("saved");
const settings = json("settings");

// What the reader chose: the arm in focus, and for each filter the values that are shown (null: all of them).
let focus = "";
const chosen = { method: null, family: null };

const isShown = (arm, family) => {
  const method = arm === undefined ? undefined : settings.owners[arm];
  const byMethod = !chosen.method || method === undefined || chosen.method.has(method);
  return byMethod && (!chosen.family || family === undefined || chosen.family.has(family));
};
