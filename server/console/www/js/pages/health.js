/* Health: the ledger's head, how each client's channel is protected, witnesses, time stamps, and what is wrong. */
import { get } from '../api.js';
import { el, facts, fill, refill } from '../dom.js';
import { onChange } from '../live.js';
import { hash, table } from '../table.js';
import { tree } from '../tree.js';
import { utcShort } from '../time.js';
import { t } from '../words.js';
import { reopenCards } from './reopen.js';

const quietWords = new Set(['all calls', 'open', 'none', '']);

function overview(health) {
	return el('section', { class: 'card', 'aria-labelledby': 'gateway' }, el('h2', { id: 'gateway' }, t('health.gateway')), facts([
		[t('health.version'), health.version], [t('health.started'), utcShort(health.started)],
		[t('health.service'), health.service], [t('health.class_a'), health.class_a],
		[t('health.size'), String(health.size)], [t('health.root'), hash(health.root)],
		[t('nav.policy'), t('policy.version', health.policy_version)], [t('policy.hash'), hash(health.policy_sha256)],
		[t('health.open'), String(health.requests_open)], [t('health.instances'), String(health.instances)],
		[t('health.hsm'), [health.hsm?.manufacturer, health.hsm?.library].filter(Boolean).join(', ')],
	], { class: 'facts two' }));
}

const flat = (tls) => (typeof tls === 'object' && tls !== null ? [tls.ver, tls.suite].filter(Boolean).join(', ') : String(tls ?? ''));

/* Each client, by its last channel: how it is protected, by which key, which head of the ledger it holds. */
function clientsCard(clients) {
	const columns = ['name', 'state', 'tls', 'spki_sha256', 'mode', 'head', 'address'];
	const rows = Object.entries(clients).map(([name, client]) => ({ cells: {
		name: [el('strong', {}, name), ' ', el('span', { class: 'under' }, client.role ?? '')],
		state: client.closed === undefined ? t('health.client.open', utcShort(client.t)) : t('health.client.closed', utcShort(client.closed)),
		tls: flat(client.tls), spki_sha256: hash(client.spki_sha256), mode: client.mode ?? '', head: String(client.head ?? ''), address: client.address ?? '',
	} }));

	return el('section', { class: 'card', 'aria-labelledby': 'clients' }, el('h2', { id: 'clients' }, t('health.clients'), ' ', el('span', { class: 'count' }, String(rows.length))),
		rows.length === 0 ? el('p', { class: 'quiet' }, t('health.noclients'))
			: table(t('health.clients'), columns.map((name) => ({ name, label: t(`health.client.${name}`) })), rows));
}

/* Who is signed in at this console now, and how the way to each browser is protected. */
function sessionsCard(sessions) {
	const columns = ['name', 'since', 'tls', 'by', 'address'];
	const rows = sessions.map((one) => ({ cells: { name: el('strong', {}, one.name), since: utcShort(one.since), tls: flat(one.tls),
		by: t(`health.session.by.${one.by === 'certificate' ? 'certificate' : 'key'}`), address: one.address } }));

	return el('section', { class: 'card', 'aria-labelledby': 'sessions' }, el('h2', { id: 'sessions' }, t('health.sessions'), ' ', el('span', { class: 'count' }, String(rows.length))),
		table(t('health.sessions'), columns.map((name) => ({ name, label: t(`health.session.${name}`) })), rows));
}

function part(id, value) {
	return value === undefined ? null
		: el('section', { class: 'card', 'aria-labelledby': id }, el('h2', { id }, t(`health.${id}`)), tree(value));
}

/* By name, the newest record of each: the size that it is about, where it stands, when. */
function newest(id, entries) {
	return entries === undefined ? null : el('section', { class: 'card', 'aria-labelledby': id }, el('h2', { id }, t(`health.${id}`)),
		Object.keys(entries).length === 0 ? el('p', { class: 'quiet' }, t('app.none'))
			: facts(Object.entries(entries).map(([name, one]) => [name, t('health.newest', one.size, one.record, utcShort(one.gen_time ?? one.t))])));
}

/* What is wrong, in one line at the top; or that nothing is. */
function alarm(health) {
	const wrong = [['health.service', health.service], ['health.class_a', health.class_a], ['health.policy', health.policy?.warning]]
		.filter(([, value]) => value !== undefined && !quietWords.has(value));
	const stances = Object.entries(health.stances ?? {});

	if (wrong.length === 0 && stances.length === 0)
		return el('p', { class: 'good' }, t('health.good'));
	return el('ul', { class: 'problem', role: 'alert' }, wrong.map(([label, value]) => el('li', {}, `${t(label)}: ${value}`)),
		stances.map(([token, stance]) => el('li', {}, `${token}: ${stance.state ?? JSON.stringify(stance)}`)));
}

export async function openHealth(app, argument, signal) {
	const body = el('div', { class: 'stack' });

	async function read() {
		const health = await get('health');
		const closed = await reopenCards(app, health.stances ?? {}, read);

		if (signal.aborted || document.querySelector('dialog[open]') !== null)
			return;
		refill(body, alarm(health), closed, overview(health), clientsCard(health.clients ?? {}), sessionsCard(health.sessions ?? []),
			el('div', { class: 'cards' }, newest('cosignatures', health.cosignatures), part('witness', health.witness), newest('anchors', health.anchors),
				part('time_stamps', health.time_stamps), part('guards', health.guards), part('anomalies', health.anomalies)));
	}
	await read();
	fill(app.main, el('div', { class: 'head' }, el('div', {}, el('h1', {}, t('health.title')), el('p', { class: 'lead' }, t('app.word')))), body);
	onChange(signal, () => read().catch((error) => app.failed(error, body)));
}
