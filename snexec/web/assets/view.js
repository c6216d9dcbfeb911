// Preact and htm, as every module of the page uses them.
import { Component, createRef, h, render } from "/assets/preact.js";
import htm from "/assets/htm.js";

export const html = htm.bind(h);
export { Component, createRef, render };
