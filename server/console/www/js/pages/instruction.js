/*
 * One instruction: where it stands, who approved what came of it, and at the end the result, with the proof that this
 * browser worked out. What is shown of a result is what the records prove, not what the gateway calls it.
 */
import { ApiError, get } from '../api.js';
import { chain } from '../chain.js';
import { contentCard } from '../content.js';
import { el, facts, fill, save } from '../dom.js';
import { judgeInstruction } from '../instruction.js';
import { contentStatement, pem } from '../issued.js';
import { onChange } from '../live.js';
import { noteSigners, noteText } from '../policy.js';
import { readStatement, showStatement, valueOf } from '../statement.js';
import { countdown, utcShort } from '../time.js';
import { verdictMark } from '../verdict.js';
import { has, t } from '../words.js';
import { stateWord } from './requests.js';

const openStates = new Set(['waiting', 'running']);

/* ---- what was asked for, and who lets it ---------------------------------------------------------------------- */

function progress(answer, request) {
	return el('section', { class: 'card', 'aria-labelledby': 'progress' }, el('h2', { id: 'progress' }, t('instruction.progress')),
		facts([
			[t('instruction.operator'), answer.operator], [t('instruction.time'), answer.t === undefined ? null : utcShort(answer.t)],
			[t('instruction.request'), request === null ? (openStates.has(answer.state) ? t('actions.waits') : t('app.none'))
				: el('a', { href: `#/requests/${answer.request}` }, t('requests.number', answer.request))],
			...request === null ? [] : [
				[t('request.rule'), request.rule], [t('requests.votes'), [request.need, el('br'), request.have.length === 0 ? t(request.state === 'open' ? 'instruction.notyet' : 'instruction.nobody') : t('instruction.by', request.have.join(', '))]],
				[t('instruction.rejected'), request.rejected_by.join(', ')],
				[t('instruction.state'), stateWord(request.state)],
				[t('requests.left'), request.state === 'open' ? countdown(request.expires) : null],
			],
		]));
}

/* ---- what became of it ---------------------------------------------------------------------------------------- */

/* Why not, and what to do: by the state of the request, else by what the module or the gateway answered. */
function wayOut(answer, request) {
	const rv = /CKR_\w+/.exec(answer.why ?? '')?.[0] ?? '';
	const keys = [`instruction.way.${request?.state}`, `instruction.way.${rv}`];

	return t(keys.find((key) => has(key)) ?? 'instruction.way.other');
}

function failure(answer, request, judged) {
	return el('section', { class: 'card', 'aria-labelledby': 'failure' }, el('h2', { id: 'failure' }, t(`instruction.title.${answer.state}`)),
		el('div', { class: 'problem', role: 'alert' }, el('p', {}, answer.why),
			request === null ? null : el('p', {}, t('instruction.refused', request.id, stateWord(request.state), request.rule)),
			judged.refusals.map((note) => el('p', {}, t('instruction.reason', noteSigners(note).join(', '), valueOf(readStatement(noteText(note)), 'reason') ?? '')))),
		el('p', { class: 'way' }, wayOut(answer, request)));
}

const extension = { certificate: 'crt', crl: 'crl', 'certificate-request': 'csr', 'public-key': 'pub', signature: 'sig' };

function downloads(number, judged) {
	const { form, bytes } = judged;
	const text = pem(form, bytes);
	const name = `${form}-${number}.${extension[form]}`;

	return [text === null ? null : el('pre', { class: 'rule', tabindex: '0', id: 'result-pem', 'aria-label': t(`form.${form}`) }, text),
		el('div', { class: 'buttons' },
			text === null ? null : el('button', { type: 'button', id: 'save-pem', class: 'primary', onclick: () => save(`${name}.pem`, 'application/x-pem-file', text) }, t('instruction.pem')),
			el('button', { type: 'button', id: 'save-der', onclick: () => save(`${name}${form === 'signature' ? '' : '.der'}`, 'application/octet-stream', bytes) },
				t(form === 'signature' ? 'instruction.raw' : 'instruction.der')))];
}

/* Nothing of it can be taken away where the browser found that it does not hold. */
function result(number, answer, judged, words) {
	const form = judged.form ?? answer.form ?? '';

	return el('section', { class: 'card', 'aria-labelledby': 'result' }, el('h2', { id: 'result' }, has(`form.${form}`) ? t(`form.${form}`) : t('request.result')),
		el('p', { class: 'result-verdict' }, verdictMark(judged.verdict), ' ', judged.words),
		judged.verdict === 'failed' ? el('p', { class: 'problem', role: 'alert' }, t('instruction.lies')) : null,
		words === null ? null : el('p', {}, words),
		judged.verdict === 'failed' || judged.bytes === null ? null
			: [judged.content === null ? null : contentCard(contentStatement(judged.content), Date.now(), 'content', t('instruction.content')), downloads(number, judged)]);
}

/* What is to be said of an outcome that is no file. */
function outcomeWords(answer, judged, request) {
	if (answer.form === 'window')
		return request?.state === 'window' ? t('instruction.window.open') : t('instruction.window.asked');
	if (answer.form === 'destroyed')
		return t('instruction.destroyed');
	return judged.bytes === null && judged.verdict !== 'failed' ? t('instruction.nothing') : null;
}

function proof(number, judged) {
	return el('section', { class: 'card', 'aria-labelledby': 'proof' }, el('h2', { id: 'proof' }, t('instruction.proof')), chain(judged),
		judged.bundle === null ? null : el('div', { class: 'buttons' }, el('button', { type: 'button', onclick: () =>
			save(`instruction-${number}.bundle`, 'text/plain', judged.bundle) }, t('operations.download'))));
}

/* ---- the page ------------------------------------------------------------------------------------------------- */

class InstructionPage {
	constructor(app, number, signal) {
		Object.assign(this, { app, number, signal, seen: '' });
	}

	/* The request may be forgotten where it ended long ago, and a call that asked nobody has none. */
	async readRequest() {
		if (this.answer.request === undefined)
			return null;
		try {
			return (await get(`requests/${this.answer.request}`)).request;
		} catch (error) {
			if (error instanceof ApiError && error.status === 404)
				return null;
			throw error;
		}
	}

	/* Is anything other than it was? */
	async read() {
		this.answer = await get(`instructions/${this.number}`);
		this.request = await this.readRequest();
		const now = JSON.stringify([this.answer, this.request]);
		const changed = now !== this.seen;

		this.seen = now;
		return changed;
	}

	heading(judged) {
		const said = readStatement(judged.text);
		const what = valueOf(said, 'what') ?? this.answer.what ?? '';
		const state = `instruction.${this.answer.state}`;

		return el('div', { class: 'head' }, el('div', {}, el('a', { class: 'back', href: '#/actions' }, '← ', t('actions.title')),
			el('h1', {}, t('actions.record', this.number)),
			el('p', { class: 'lead' }, [has(`actions.what.${what}`) ? t(`actions.what.${what}`) : what, valueOf(said, 'key-label'), valueOf(said, 'purpose')].filter(Boolean).join(' · '))),
		el('p', { class: `state state-${this.answer.state}` }, has(state) ? t(state) : this.answer.state));
	}

	/* What was signed, from its record. */
	text(judged) {
		const said = readStatement(judged.text);

		return el('section', { class: 'card paper', 'aria-labelledby': 'text' }, el('h2', { id: 'text' }, t('actions.text')),
			said === null ? el('p', { class: 'problem' }, judged.words) : [el('p', { class: 'quiet' }, t('instruction.text.how', this.number)), showStatement(said, t('actions.text'))]);
	}

	async draw() {
		const { answer, request, number } = this;
		const judged = await judgeInstruction(answer);
		const over = !openStates.has(answer.state);
		const ran = answer.state === 'done' || (answer.state === 'lost' && judged.bytes !== null);

		if (this.signal.aborted)
			return;
		fill(this.app.main, this.heading(judged), el('div', { class: 'split' },
			el('div', { class: 'wide' }, answer.state === 'failed' || answer.state === 'lost' ? failure(answer, request, judged) : null,
				ran ? result(number, answer, judged, outcomeWords(answer, judged, request)) : null,
				this.text(judged), over && judged.steps.length > 0 ? proof(number, judged) : null),
			el('div', { class: 'narrow' }, progress(answer, request))));
	}

	async changed() {
		const before = this.answer.state;

		if (!await this.read() || this.signal.aborted)
			return;
		await this.draw();
		if (this.answer.state !== before)
			this.app.announce(t('instruction.changed', this.number, t(`instruction.${this.answer.state}`)));
	}
}

export async function openInstruction(app, number, signal) {
	const page = new InstructionPage(app, number, signal);

	await page.read();
	await page.draw();
	onChange(signal, () => page.changed().catch((error) => app.failed(error)));
}
