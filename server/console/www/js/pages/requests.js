/* Requests: what waits for people comes first, then, when asked, what ended. */
import { get } from '../api.js';
import { el, fill, refill } from '../dom.js';
import { onChange } from '../live.js';
import { countdown, utcShort } from '../time.js';
import { has, t } from '../words.js';
import { draftLinks } from './drafts.js';
import { openRequest } from './request.js';

const open = new Set(['open', 'approved', 'offered', 'waits for its content', 'window', 'running']);

export const stateWord = (state) => (has(`state.${state}`) ? t(`state.${state}`) : state);

/* "root-keepers 2 of 3 and officers 1 of 2": how many must approve in all. */
const needed = (need) => [...need.matchAll(/ (\d+) of \d+/g)].reduce((sum, match) => sum + Number(match[1]), 0);

function votes(request) {
	const have = request.have.length, need = needed(request.need);

	return el('span', { class: 'votes' },
		el('span', { class: 'pips', 'aria-hidden': 'true' },
			Array.from({ length: need }, (_, i) => el('span', { class: i < have ? 'pip full' : 'pip' }))),
		t('requests.of', have, need));
}

function row(request) {
	const waits = open.has(request.state);
	const what = request.summary !== '' ? request.summary : request.op;

	return el('li', { class: `request ${waits ? 'waits' : 'over'}` },
		el('span', { class: 'number' }, String(request.id)),
		el('div', { class: 'what' },
			el('a', { href: `#/requests/${request.id}`, id: `request-${request.id}`, 'aria-label': `${t('requests.number', request.id)}: ${what}` }, what),
			el('p', { class: 'under' },
				[request.op, request.key === '' ? null : t('requests.key', request.key), t('requests.asked_by', request.client),
					request.purpose === '' ? null : `“${request.purpose}”`].filter((part) => part !== null).join(' · '))),
		el('div', { class: 'votes-cell' }, votes(request), el('span', { class: 'under' }, request.need)),
		el('div', { class: 'when' },
			el('span', { class: `state state-${request.state.replaceAll(' ', '-')}` }, stateWord(request.state)),
			waits ? countdown(request.expires) : el('span', { class: 'under' }, utcShort(request.created))));
}

function list(requests, heading, empty) {
	return el('section', { 'aria-label': heading },
		el('h2', {}, heading, ' ', el('span', { class: 'count' }, String(requests.length))),
		requests.length === 0 ? el('p', { class: 'empty' }, empty) : el('ul', { class: 'requests' }, requests.map(row)));
}

/* What is new since the last look, said to those who do not see the list move. */
function tell(app, before, now) {
	for (const request of now) {
		const old = before.get(request.id);
		if (old === undefined && open.has(request.state))
			app.announce(t('requests.new', request.summary !== '' ? request.summary : request.op));
		else if (old !== undefined && old !== request.state)
			app.announce(t('requests.changed', request.id, stateWord(request.state)));
	}
	return new Map(now.map((request) => [request.id, request.state]));
}

export async function openRequests(app, argument, signal) {
	if (argument !== '')
		return openRequest(app, Number(argument), signal);
	const body = el('div', {});
	let ended = false, known = null;

	const toggle = el('button', { type: 'button', class: 'plain', onclick: async () => {
		ended = !ended;
		await read();
	} });
	async function read() {
		try {
			const [{ requests }, texts] = await Promise.all([get(ended ? 'requests?ended=1' : 'requests'), draftLinks(app)]);
			const newest = [...requests].sort((a, b) => b.id - a.id);

			if (signal.aborted)
				return;
			known = tell(app, known ?? new Map(newest.map((request) => [request.id, request.state])), newest);
			fill(toggle, t(ended ? 'requests.hide_ended' : 'requests.show_ended'));
			refill(body, texts,
				list(newest.filter((request) => open.has(request.state)), t('requests.pending'), t('requests.none')),
				ended ? list(newest.filter((request) => !open.has(request.state)), t('requests.ended'), t('app.nothing')) : null);
		} catch (error) {
			app.failed(error, body);
		}
	}
	await read();
	fill(app.main, el('div', { class: 'head' }, el('h1', {}, t('requests.title')), toggle), body);
	onChange(signal, read);
	return undefined;
}
