/** @typedef {string | Node | null | undefined | false} Child */

/**
 * An element. Text becomes text nodes and nothing else: answers and reviews are other people's.
 * @param {string} tag
 * @param {Record<string, string | number | boolean | ((event: Event) => void)>} [attributes] functions are listeners, true is an attribute without a value
 * @param {...Child} children
 * @returns {HTMLElement}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** @template {HTMLElement} T @param {string} id @returns {T} */
export const byId = (id) => /** @type {T} */ (document.getElementById(id));

/** An element of that width, in percent: set as a property, the page's policy allows no style in attributes. */
export function bar(/** @type {string} */ className, /** @type {number} */ percent, /** @type {Child[]} */ ...children) {
  const element = make('span', { class: className }, ...children);
  element.style.width = `${Math.max(0, Math.min(100, percent))}%`;
  return element;
}

/** At most two digits after the point. */
export const figure = (/** @type {number | null | undefined} */ value) =>
  value === null || value === undefined ? '–' : String(Math.round(value * 100) / 100);

export const percent = (/** @type {number | null | undefined} */ value, digits = 0) =>
  value === null || value === undefined ? '–' : `${(value * 100).toFixed(digits)} %`;

export const plural = (/** @type {number} */ count, /** @type {string} */ one, /** @type {string} */ many) =>
  `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
