/* What this browser keeps of the ledger, on the screen: a line at the side, and what must not be overlooked above the page. */
import { el, facts, fill } from './dom.js';
import { hash } from './table.js';
import { confirm, forget, kept, look, readTrust } from './trust.js';
import { verdictMark } from './verdict.js';
import { t } from './words.js';

function values(trust) {
	return facts([[t('trust.origin'), trust.origin], [t('trust.log'), hash(trust.log)], [t('trust.policy'), hash(trust.policy)]]);
}

function trustFile(again) {
	const wrong = el('div', { 'aria-live': 'polite' });
	const input = el('input', { type: 'file', id: 'trust-file', onchange: async () => {
		const trust = await readTrust(await input.files[0].text());
		const seen = kept();

		if (trust === null) {
			fill(wrong, el('p', { class: 'problem' }, t('trust.file.none')));
		} else if (seen !== null && (seen.origin !== trust.origin || seen.log !== trust.log || seen.policy !== trust.policy)) {
			fill(wrong, el('p', { class: 'problem', role: 'alert' }, t('trust.file.differs')));
		} else {
			await confirm(seen ?? trust);
			again();
		}
	} });

	return [el('label', { for: 'trust-file' }, t('trust.file')), input, wrong];
}

/* Above every page: the alarm, or that the ledger is seen for the first time. */
function banner({ trust, alarm }, again) {
	if (alarm !== null)
		return el('section', { class: 'banner alarm', role: 'alert', id: 'trust-alarm' }, el('h2', {}, t(`trust.alarm.${alarm.what}`)),
			el('p', {}, t('trust.alarm.how')),
			alarm.kept === null ? null : el('p', { class: 'mono' }, t('trust.alarm.kept', alarm.kept.size, alarm.kept.root)),
			el('pre', { class: 'rule wraps', tabindex: '0', 'aria-label': t('trust.alarm.shown') }, alarm.shown),
			el('button', { type: 'button', onclick: () => {
				forget();
				again();
			} }, t('trust.forget')));
	if (trust.first !== true)
		return null;
	return el('section', { class: 'banner', id: 'trust-first', 'aria-label': t('trust.first') }, el('h2', {}, t('trust.first')),
		el('p', {}, t('trust.first.how')), values(trust),
		el('div', { class: 'buttons' }, el('button', { type: 'button', id: 'trust-agree', onclick: async () => {
			await confirm();
			again();
		} }, t('trust.agree')), trustFile(again)));
}

function strip({ trust, alarm }) {
	if (alarm !== null)
		return [verdictMark('failed'), el('span', { class: 'under' }, t(`trust.alarm.${alarm.what}`))];
	return [verdictMark(trust.first === true ? 'unknown' : 'ok'),
		el('span', { class: 'under' }, t(trust.first === true ? 'trust.head.first' : 'trust.head', trust.head.size))];
}

/* Looks, and draws both; called again whenever the ledger grew. Answers whether anything is wrong. */
export async function drawTrust(stripPlace, bannerPlace) {
	const again = () => drawTrust(stripPlace, bannerPlace);
	const seen = await look();
	const shown = banner(seen, again);

	fill(stripPlace, strip(seen));
	if (shown === null)
		fill(bannerPlace);
	else if (bannerPlace.firstElementChild?.id !== shown.id)
		fill(bannerPlace, shown);
	return seen.alarm === null;
}
