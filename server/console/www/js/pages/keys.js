/* Keys and tokens: what the HSM has, how each key came to be, and what it has done since. */
import { get } from '../api.js';
import { el, facts, fill, refill } from '../dom.js';
import { onChange } from '../live.js';
import { hash } from '../table.js';
import { utcShort } from '../time.js';
import { t } from '../words.js';

/* A flag is said in words: yes, no, or not told. */
const flag = (value) => (value === true ? t('keys.yes') : value === false ? t('keys.no') : t('keys.untold'));
const stanceWord = (token) => (token.stance === undefined || token.stance === 'open' || token.stance === '' ? null : token.stance);

function tokenCard(token) {
	return el('section', { class: 'card', 'aria-label': token.name }, el('h2', {}, token.name, ' ',
		el('span', { class: `state ${token.present ? 'state-done' : 'state-failed'}` }, t(token.present ? 'keys.present' : 'keys.absent'))),
	stanceWord(token) === null ? null : el('p', { class: 'caution' }, stanceWord(token)),
	facts([
		[t('keys.model'), [token.manufacturer, token.model].filter(Boolean).join(' ')],
		[t('keys.serial'), token.serial], [t('keys.firmware'), token.firmware], [t('keys.label'), token.label],
		[t('keys.module'), token.module], [t('keys.level'), token.level ? String(token.level) : null],
		[t('keys.pinned'), Array.isArray(token.pinned) ? token.pinned.join(', ') || t('keys.no') : flag(token.pinned)],
	]));
}

function uses(key) {
	return key.last_use ? t('custodians.votes.last', key.uses, utcShort(key.last_use)) : String(key.uses ?? 0);
}

function keyCard(key) {
	const windows = key.windows ?? [];

	return el('section', { class: 'card', 'aria-label': key.label || key.id }, el('h2', {}, key.label || t('keys.nolabel'), ' ',
		el('span', { class: 'count' }, [key.token, key.type, key.class].filter(Boolean).join(' · '))),
	facts([
		[t('keys.id'), key.id], [t('keys.spki'), hash(key.spki_sha256)], [t('keys.uses'), uses(key)],
		[t('keys.origin'), key.made_by === undefined ? t('keys.origin.unknown')
			: el('a', { href: `#/operations/${key.made_by}`, id: `made-${key.made_by}` }, t('keys.origin.record', key.made_by))],
		[t('keys.local'), flag(key.local)], [t('keys.sensitive'), flag(key.sensitive)],
		[t('keys.extractable'), flag(key.extractable)], [t('keys.never_extractable'), flag(key.never_extractable)],
		[t('keys.windows'), windows.length === 0 ? null : windows.map((id) => [el('a', { href: `#/requests/${id}` }, t('requests.number', id)), ' '])],
	]));
}

export async function openKeys(app, argument, signal) {
	const body = el('div', {});

	async function read() {
		const [{ tokens }, { keys, complete }] = await Promise.all([get('tokens'), get('keys')]);

		if (signal.aborted)
			return;
		refill(body,
			el('h2', { class: 'group' }, t('keys.tokens'), ' ', el('span', { class: 'count' }, String(tokens.length))),
			el('div', { class: 'cards' }, tokens.map(tokenCard)),
			el('h2', { class: 'group' }, t('keys.keys'), ' ', el('span', { class: 'count' }, String(keys.length))),
			complete === false ? el('p', { class: 'caution' }, t('keys.incomplete')) : null,
			keys.length === 0 ? el('p', { class: 'empty' }, t('app.nothing')) : el('div', { class: 'cards' }, keys.map(keyCard)));
	}
	await read();
	fill(app.main, el('div', { class: 'head' }, el('h1', {}, t('keys.title'))), body);
	onChange(signal, () => read().catch((error) => app.failed(error)));
}
