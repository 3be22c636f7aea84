/*
 * Operations, the newest first. Each line is judged in this browser: its bundle is fetched and verified, and the verdict
 * stands on the line; opened, it shows the chain from what a person saw to the record.
 */
import { get, query } from '../api.js';
import { el, fill, newId, save } from '../dom.js';
import { onChange } from '../live.js';
import { judgeOperation } from '../proof.js';
import { chain } from '../chain.js';
import { utcShort } from '../time.js';
import { verdictMark } from '../verdict.js';
import { t } from '../words.js';
import { stateWord } from './requests.js';

const PAGE = 25;
const results = ['', 'ok', 'failed', 'refused'];

/* ---- one line ------------------------------------------------------------------------------------------------- */

class Line {
	constructor(page, operation) {
		const region = newId('chain');

		Object.assign(this, { page, operation, judged: null });
		this.verdict = el('span', { class: 'line-verdict' }, el('span', { class: 'quiet' }, t('operations.checking')));
		this.region = el('div', { id: region, class: 'chain-place', hidden: true });
		this.button = el('button', { type: 'button', class: 'plain opener', id: `op-${operation.record}`, 'aria-expanded': 'false', 'aria-controls': region,
			onclick: () => this.toggle() }, this.title());
		this.node = el('li', { class: 'operation', 'data-record': operation.record }, el('div', { class: 'op-row' },
			el('span', { class: 'number' }, String(operation.record)),
			el('div', { class: 'what' }, this.button, el('p', { class: 'under' }, this.under())),
			el('div', { class: 'op-result' }, this.result(), el('p', { class: 'under' }, utcShort(operation.t))),
			this.verdict), this.region);
	}

	title() {
		const { operation } = this;
		return [operation.op, operation.key?.label ? ` · ${operation.key.label}` : ''];
	}

	under() {
		const { operation } = this;
		return [operation.mech, t('requests.asked_by', operation.client), operation.purpose ? `“${operation.purpose}”` : '', operation.application,
			operation.key?.token].filter(Boolean).join(' · ');
	}

	result() {
		const { operation } = this;

		return el('span', { class: `state ${operation.result === 'ok' ? 'state-done' : 'state-failed'}` }, operation.rv ?? stateWord(operation.verdict));
	}

	async judge() {
		this.judged = await judgeOperation(this.operation);
		fill(this.verdict, verdictMark(this.judged.verdict));
		if (!this.region.hidden)
			this.drawChain();
	}

	drawChain() {
		fill(this.region, chain(this.judged), el('div', { class: 'buttons' },
			this.judged.bundle === null ? null : el('button', { type: 'button', onclick: () =>
				save(`${this.operation.record}.bundle`, 'text/plain', this.judged.bundle) }, t('operations.download'))));
	}

	async toggle() {
		this.region.hidden = !this.region.hidden;
		this.button.setAttribute('aria-expanded', String(!this.region.hidden));
		if (this.region.hidden)
			return;
		if (this.judged === null)
			fill(this.region, el('p', { class: 'quiet' }, t('operations.checking')));
		else
			this.drawChain();
	}
}

/* ---- filters -------------------------------------------------------------------------------------------------- */

function field(name, label, attributes = {}) {
	return el('div', {}, el('label', { for: `filter-${name}` }, label), el('input', { id: `filter-${name}`, name, autocomplete: 'off', ...attributes }));
}

function filterForm(apply) {
	return el('form', { class: 'filters', role: 'search', 'aria-label': t('operations.filters'), onsubmit: (event) => {
		event.preventDefault();
		const values = Object.fromEntries(new FormData(event.target));
		for (const name of ['since', 'until'])
			values[name] = values[name] === '' ? '' : Date.parse(`${values[name]}T00:00:00Z`) + (name === 'until' ? 86400000 : 0);
		apply(values);
	} },
	field('client', t('operations.client')), field('op', t('operations.function'), { placeholder: 'C_Sign' }), field('key', t('operations.key')),
	el('div', {}, el('label', { for: 'filter-result' }, t('operations.result')),
		el('select', { id: 'filter-result', name: 'result' }, results.map((name) => el('option', { value: name }, t(`operations.result.${name === '' ? 'any' : name}`))))),
	field('since', t('operations.since'), { type: 'date' }), field('until', t('operations.until'), { type: 'date' }),
	el('div', { class: 'end' }, el('button', { type: 'submit' }, t('operations.apply'))));
}

/* ---- the list ------------------------------------------------------------------------------------------------- */

class OperationList {
	constructor(app, signal) {
		Object.assign(this, { app, signal, filter: {}, lines: new Map(), next: 0, queue: [], busy: false });
		this.list = el('ul', { class: 'operations' });
		this.more = el('button', { type: 'button', onclick: () => this.read(this.next).catch((error) => app.failed(error, this.list)) }, t('app.more'));
		this.empty = el('p', { class: 'empty', hidden: true }, t('app.nothing'));
	}

	async apply(values) {
		this.filter = values;
		this.lines.clear();
		this.queue = [];
		fill(this.list);
		await this.read(0);
	}

	/*
	 * From `before` down (0: from the newest), until the page is full or there are no more: the gateway looks for a moment
	 * only at each question, and answers with what it found.
	 */
	async read(before) {
		let from = before, found = 0;

		do {
			const { operations, next } = await get(query('operations', { ...this.filter, before: from === 0 ? '' : from, count: PAGE }));
			if (this.signal.aborted)
				return;
			const fresh = operations.filter((operation) => !this.lines.has(operation.record));
			this.list.append(...fresh.map((operation) => this.add(operation)));
			found += operations.length;
			from = next ?? 0;
		} while (found < PAGE && from !== 0);
		this.next = from;
		this.more.hidden = from === 0;
		this.empty.hidden = this.lines.size > 0;
		this.work();
	}

	add(operation) {
		const line = new Line(this, operation);

		this.lines.set(operation.record, line);
		this.queue.push(line);
		return line.node;
	}

	/* One after the other: what is at the top of the list is judged first. */
	async work() {
		if (this.busy)
			return;
		this.busy = true;
		while (this.queue.length > 0 && !this.signal.aborted)
			await this.queue.shift().judge();
		this.busy = false;
	}

	/* What is new comes above; what is there does not change any more. */
	async refresh() {
		const { operations } = await get(query('operations', { ...this.filter, count: PAGE }));

		this.list.prepend(...operations.filter((operation) => !this.lines.has(operation.record)).map((operation) => this.add(operation)));
		this.empty.hidden = this.lines.size > 0;
		this.work();
	}
}

export async function openOperations(app, argument, signal) {
	const list = new OperationList(app, signal);

	await list.read(argument === '' ? 0 : Number(argument) + 1);
	fill(app.main, el('div', { class: 'head' }, el('div', {}, el('h1', {}, t('operations.title')), el('p', { class: 'lead' }, t('operations.lead')))),
		filterForm((values) => list.apply(values).catch((error) => app.failed(error, list.list))),
		list.list, list.empty, list.more);
	if (argument !== '')
		list.lines.get(Number(argument))?.toggle();
	else
		onChange(signal, () => list.refresh().catch((error) => app.failed(error, list.list)));
}
