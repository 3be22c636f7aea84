/* Keys and tokens: what the HSM has, how each key came to be, and what it has done since. */
import { get } from '../api.js';
import { el, facts, fill, refill } from '../dom.js';
import { onChange } from '../live.js';
import { hash } from '../table.js';
import { utcShort } from '../time.js';
import { has, t } from '../words.js';

/* A flag is said in words: yes, no, or not told. */
const flag = (value) => (value === true ? t('keys.yes') : value === false ? t('keys.no') : t('keys.untold'));

/* What the policy asks of a property, beside what the HSM shows. */
function property(token, name) {
	const shown = token.shown?.[name], asked = token.expected[name];

	if (shown === undefined && asked === undefined)
		return null;
	return [shown === undefined ? t('keys.untold') : String(shown || '–'), asked === undefined ? null : el('span', { class: 'aside' }, ` ${t('keys.asked', asked)}`)];
}

function tokenState(token) {
	if (token.shown === undefined)
		return el('span', { class: 'state' }, t('keys.unseen'));
	return el('span', { class: `state ${token.fits ? 'state-done' : 'state-failed'}` }, t(token.fits ? 'keys.fits' : 'keys.other'));
}

function tokenCard(token) {
	return el('section', { class: 'card', 'aria-label': token.name }, el('h2', {}, token.name, ' ', tokenState(token)),
		facts([
			...['manufacturer', 'model', 'serial', 'firmware', 'level'].map((name) => [t(`keys.${name}`), property(token, name)]),
			[t('keys.label'), token.label], [t('keys.module'), token.module],
			[t('keys.pinned'), flag(token.pinned)], [t('keys.stance'), t(`keys.stance.${token.stance}`)],
		]));
}

const record = (i) => el('a', { href: `#/operations/${i}`, id: `made-${i}` }, t('keys.origin.record', i));

function keyCard(key) {
	const uses = key.last_use ? t('custodians.votes.last', key.uses, utcShort(key.last_use)) : String(key.uses);

	return el('section', { class: 'card', 'aria-label': key.label || key.id }, el('h2', {}, key.label || t('keys.nolabel'), ' ',
		el('span', { class: 'count' }, [key.token, key.type, key.class].filter(Boolean).join(' · '))),
	key.known === false ? el('p', { class: 'caution' }, t('keys.unknown')) : null,
	key.destroyed_by === undefined ? null : el('p', { class: 'caution' }, t('keys.destroyed'), ' ', record(key.destroyed_by)),
	facts([
		[t('keys.id'), key.id], [t('keys.spki'), hash(key.spki_sha256)], [t('keys.uses'), uses],
		[t('keys.origin'), key.made_by === undefined ? t('keys.origin.unknown') : record(key.made_by)],
		...Object.entries(key.attributes).map(([name, value]) => [has(`keys.attribute.${name}`) ? t(`keys.attribute.${name}`) : name,
			typeof value === 'boolean' ? flag(value) : String(value)]),
		[t('keys.windows'), key.windows.length === 0 ? null : key.windows.map((id) => [el('a', { href: `#/requests/${id}` }, t('requests.number', id)), ' '])],
	]));
}

/* All of them: an answer has 256 at most. */
async function allKeys() {
	const all = [];
	let answer = await get('keys');

	all.push(...answer.keys);
	while (answer.next !== undefined) {
		answer = await get(`keys?from=${answer.next}`);
		all.push(...answer.keys);
	}
	return { ...answer, keys: all };
}

export async function openKeys(app, argument, signal) {
	const body = el('div', {});

	async function read() {
		const [{ tokens }, { keys, complete }] = await Promise.all([get('tokens'), allKeys()]);

		if (signal.aborted)
			return;
		refill(body,
			el('h2', { class: 'group' }, t('keys.tokens'), ' ', el('span', { class: 'count' }, String(tokens.length))),
			el('div', { class: 'cards' }, tokens.map(tokenCard)),
			el('h2', { class: 'group' }, t('keys.keys'), ' ', el('span', { class: 'count' }, String(keys.length))),
			complete === false ? el('p', { class: 'caution' }, t('keys.incomplete')) : null,
			el('p', { class: 'quiet' }, t('keys.seen')),
			keys.length === 0 ? el('p', { class: 'empty' }, t('app.nothing')) : el('div', { class: 'cards' }, keys.map(keyCard)));
	}
	await read();
	fill(app.main, el('div', { class: 'head' }, el('div', {}, el('h1', {}, t('keys.title')), el('p', { class: 'lead' }, t('app.word')))), body);
	onChange(signal, () => read().catch((error) => app.failed(error)));
}
