// Every view has a link: #/ and #/CANDIDATE are overviews, #/QUESTION/LEFT/RIGHT is a question, with ?category=… where one is chosen.

/**
 * @typedef {{ view: 'overview', candidate: string | null }} OverviewRoute
 * @typedef {{ view: 'question', question: string, left: string, right: string, category: string | null }} QuestionRoute
 */

/** @param {string} hash @returns {OverviewRoute | QuestionRoute} */
export function parseRoute(hash) {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?');
  const pieces = path.split('/').map(decode);
  if (pieces.length === 3) {
    const [question = '', left = '', right = ''] = pieces;
    return { view: 'question', question, left, right, category: new URLSearchParams(query).get('category') };
  }
  return { view: 'overview', candidate: pieces[0] || null };
}

/** @param {Omit<QuestionRoute, 'view'>} route */
export const questionLink = ({ question, left, right, category }) =>
  `#/${[question, left, right].map(encodeURIComponent).join('/')}${category ? `?category=${encodeURIComponent(category)}` : ''}`;

export const overviewLink = (/** @type {string} */ candidate) => `#/${encodeURIComponent(candidate)}`;

function decode(/** @type {string} */ piece) {
  try {
    return decodeURIComponent(piece);
  } catch {
    return piece;
  }
}
