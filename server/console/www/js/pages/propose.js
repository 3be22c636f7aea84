/*
 * The next version of the policy: a text that the gateway checks and that people sign one after the other. Signed here it
 * waits at the gateway for the others (drafts.js); with `kanmon policy sign` it is a file, which anybody brings.
 */
import { post } from '../api.js';
import { b64, sha256 } from '../bytes.js';
import { el, fill, save } from '../dom.js';
import { joinNote, splitNote } from '../note.js';
import { noteText, readPolicy } from '../policy.js';
import { available } from '../webauthn.js';
import { t } from '../words.js';
import { openSigning } from './drafts.js';
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
	constructor(app, current, draft, done) {
		Object.assign(this, { app, done });
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

	sign() {
		openSigning(this.app, this.current, this.note(), this.done);
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

/* `done()`: it was signed, and waits or is in the ledger. */
export async function proposal(app, current, done) {
	return new Proposal(app, current, await nextText(noteText(current)), done).draw();
}
