/* A bundle, dropped here: judged in this browser against what it has pinned, or a trust file. No server is asked. */
import { chain } from '../chain.js';
import { el, fill } from '../dom.js';
import { judgeText } from '../proof.js';
import { t } from '../words.js';

export async function openVerify(app) {
	const place = el('div', { 'aria-live': 'polite', class: 'answer', id: 'verify-answer' });
	let trust = null;

	async function take(files) {
		for (const file of files) {
			const text = await file.text();
			if (text.startsWith('kanmon/trust/v1\n')) {
				trust = text;
				fill(place, el('p', { class: 'good' }, t('verify.trust.read', file.name)));
			} else {
				const judged = await judgeText(text, trust);
				fill(place, el('h2', {}, file.name), chain(judged));
			}
		}
	}
	const sure = (files) => take([...files]).catch((error) => fill(place, el('p', { class: 'problem', role: 'alert' }, error.message)));
	const input = el('input', { type: 'file', id: 'bundle', multiple: true, onchange: () => sure(input.files) });
	const drop = el('div', { class: 'drop', ondragover: (event) => {
		event.preventDefault();
		drop.classList.add('over');
	}, ondragleave: () => drop.classList.remove('over'), ondrop: (event) => {
		event.preventDefault();
		drop.classList.remove('over');
		sure(event.dataTransfer.files);
	} }, el('label', { for: 'bundle' }, t('verify.drop')), input, el('p', { class: 'quiet' }, t('verify.how')));

	fill(app.main, el('div', { class: 'head' }, el('div', {}, el('h1', {}, t('verify.title')), el('p', { class: 'lead' }, t('verify.lead')))), drop, place);
}
