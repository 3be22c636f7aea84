/* A JSON value as nested lists of facts: for what has no layout of its own. Nothing of it is left out. */
import { el, facts } from './dom.js';
import { utcShort } from './time.js';
import { t } from './words.js';

/* Sizes and indexes of a ledger are below it for a very long time. */
const SURELY_A_TIME_MS = 1e12;

export function tree(value) {
	if (value === null || value === undefined || value === '')
		return el('span', { class: 'quiet' }, t('app.none'));
	if (Array.isArray(value))
		return value.length === 0 ? el('span', { class: 'quiet' }, t('app.none')) : el('ul', { class: 'tree' }, value.map((item) => el('li', {}, tree(item))));
	if (typeof value === 'object')
		return Object.keys(value).length === 0 ? el('span', { class: 'quiet' }, t('app.none'))
			: facts(Object.entries(value).map(([name, inner]) => [name, tree(inner)]), { class: 'facts tree' });
	if (typeof value === 'number' && value > SURELY_A_TIME_MS)
		return el('span', {}, utcShort(value));
	return el('span', { class: typeof value === 'string' && value.length > 24 ? 'mono' : null }, String(value));
}
