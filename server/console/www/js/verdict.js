/* A verdict is a sign and a word, never a colour alone. */
import { el } from './dom.js';
import { t } from './words.js';

const glyphs = { ok: '✓', failed: '✕', unknown: '?', none: '–' };

export const verdictMark = (verdict) => el('span', { class: `verdict ${verdict}` },
	el('span', { class: 'glyph', 'aria-hidden': 'true' }, glyphs[verdict] ?? '?'), t(`verdict.${verdict}`));
