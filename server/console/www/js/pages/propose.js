/*
 * The next version of the policy: a text that the gateway checks, that people sign one after the other, each at their own
 * browser or with `kanmon policy sign`, and that anybody brings. Between them it is a file.
 */
import { post } from '../api.js';
import { b64, sha256 } from '../bytes.js';
import { el, fill, save } from '../dom.js';
import { joinNote, signatureLine, splitNote } from '../note.js';
import { noteText, readPolicy, relyingPartyOf } from '../policy.js';
import { available, signText } from '../webauthn.js';
import { t } from '../words.js';
import { changeList, findingList } from './policy.js';
import { keyProblem } from './signin.js';

/* The text in force, as the beginning of the next one. */
async function nextText(text) {
	const version = Number(readPolicy(text).head.version);

	return text.replace(/^version .*$/m, `version ${version + 1}`).replace(/^previous .*$/m, `previous ${b64(await sha256(text))}`);
}

function findings(answer) {
	return [
		el('p', { class: answer.ok ? 'good' : 'problem' }, t(answer.ok ? 'propose.ok' : 'propose.wrong')),
		findingList(answer.error === undefined ? [] : [answer.error]),
		findingList(answer.lines ?? []),
		answer.changes === undefined ? null : [el('h3', {}, t('policy.differences')), changeList(answer.changes)],
	];
}

class Proposal {
	constructor(app, current, draft) {
		this.app = app;
		this.current = readPolicy(noteText(current));
		this.lines = [];
		this.text = el('textarea', { id: 'draft', class: 'mono', rows: 18, spellcheck: 'false', oninput: () => this.edited() });
		this.text.value = draft;
		this.place = el('div', { 'aria-live': 'polite', class: 'answer' });
		this.signers = el('p', { id: 'signers', class: 'quiet' });
		this.sayWhoSigned();
	}

	/* A changed letter is another text: what was signed before is nothing any more. */
	edited() {
		this.lines = [];
		this.sayWhoSigned();
	}

	sayWhoSigned() {
		const names = this.lines.map((line) => line.split(' ')[1]);

		fill(this.signers, names.length === 0 ? t('propose.unsigned') : t('propose.signed', names.join(', ')));
	}

	note() {
		return joinNote({ text: this.text.value, lines: this.lines });
	}

	async load(file) {
		const { text, lines } = splitNote(await file.text());

		this.text.value = text;
		this.lines = lines;
		this.sayWhoSigned();
	}

	async check() {
		fill(this.place, findings(await post('policy/check', { text: this.text.value })));
	}

	async sign() {
		const text = this.text.value;
		const next = readPolicy(text);

		fill(this.place, el('p', { class: 'waiting' }, t('vote.waiting')));
		const found = await signatureLine(await signText(text, relyingPartyOf(this.current, location)), [this.current, next]);
		if (found === null) {
			fill(this.place, el('p', { class: 'problem', role: 'alert' }, t('key.unknown')));
			return;
		}
		this.lines = [...this.lines.filter((line) => !line.startsWith(`— ${found.name} `)), found.line];
		this.sayWhoSigned();
		fill(this.place, el('p', { class: 'good' }, t('propose.added', found.name)));
	}

	async submit() {
		const answer = await post('notes', { note: this.note() });

		fill(this.place, el('p', { class: 'good' }, t('propose.recorded', answer.version ?? '', answer.record)));
		this.app.announce(t('propose.recorded', answer.version ?? '', answer.record));
	}

	button(name, act, attributes = {}) {
		return el('button', { type: 'button', id: `propose-${name}`, ...attributes, onclick: async () => {
			try {
				await act();
			} catch (error) {
				fill(this.place, el('p', { class: 'problem', role: 'alert' }, keyProblem(error)));
			}
		} }, t(`propose.${name}`));
	}

	draw() {
		const file = el('input', { type: 'file', id: 'propose-file', accept: '.txt,.note,.policy,text/plain', onchange: () => this.load(file.files[0]) });

		return el('details', { class: 'card propose' }, el('summary', {}, el('h2', {}, t('propose.title'))),
			el('p', { class: 'quiet' }, t('propose.how')),
			el('label', { for: 'propose-file' }, t('propose.file')), file,
			el('label', { for: 'draft' }, t('propose.text')), this.text, this.signers, this.place,
			el('div', { class: 'buttons' },
				this.button('check', () => this.check(), { class: 'primary' }),
				this.button('sign', () => this.sign(), { disabled: !available() }),
				this.button('save', () => save('policy.note', 'text/plain', this.note())),
				this.button('submit', () => this.submit())));
	}
}

export async function proposal(app, current) {
	return new Proposal(app, current, await nextText(noteText(current))).draw();
}
