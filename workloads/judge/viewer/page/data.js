// The page's data comes as scripts: a page that is opened from a file may not fetch anything else.

/**
 * @typedef {import('../data-files.ts').Overview} Overview
 * @typedef {import('../data-files.ts').QuestionFile} QuestionFile
 */

/** @type {Overview} */
export const overview = globalThis.vicunaOverview;

/** @type {Map<number, Promise<QuestionFile>>} */
const loading = new Map();

/** @param {number} index of the question @returns {Promise<QuestionFile>} */
export function loadQuestion(index) {
  const known = loading.get(index);
  if (known) return known;
  const promise = new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = `questions/${index}.js`;
    script.onload = () => {
      const found = globalThis.vicunaQuestions?.[index];
      script.remove();
      if (found) resolve(found);
      else reject(new Error(`questions/${index}.js is damaged`));
    };
    script.onerror = () => {
      script.remove();
      loading.delete(index); // it may be there later
      reject(new Error(`questions/${index}.js cannot be loaded`));
    };
    document.head.append(script);
  });
  loading.set(index, promise);
  return promise;
}
