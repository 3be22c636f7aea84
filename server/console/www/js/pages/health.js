/* Health: the ledger's head, how each client's channel is protected, witnesses, time stamps, and what is wrong. */
import { get } from '../api.js';
import { el, facts, fill, refill } from '../dom.js';
import { onChange } from '../live.js';
import { hash, table } from '../table.js';
import { tree } from '../tree.js';
import { utcShort } from '../time.js';
import { has, t } from '../words.js';

const quietWords = new Set(['all calls', 'open', 'none', '']);

function overview(health) {
	return el('section', { class: 'card', 'aria-labelledby': 'gateway' }, el('h2', { id: 'gateway' }, t('health.gateway')), facts([
		[t('health.version'), health.version], [t('health.started'), utcShort(health.started)],
		[t('health.service'), health.service], [t('health.class_a'), health.class_a],
		[t('health.size'), String(health.size)], [t('health.root'), hash(health.root)],
		[t('nav.policy'), t('policy.version', health.policy_version)], [t('policy.hash'), hash(health.policy_sha256)],
		[t('health.open'), String(health.requests_open)], [t('health.instances'), String(health.instances)],
		[t('health.hsm'), [health.hsm?.manufacturer, health.hsm?.library].filter(Boolean).join(', ')],
	]));
}

/* Columns are what the gateway tells of a client; those of the table below come first, in its order. */
const clientColumns = ['name', 'since', 'protocol', 'cipher', 'group', 'pin', 'spki_sha256', 'provider', 'head', 'calls'];

function cell(name, value) {
	if (name === 'since' && typeof value === 'number')
		return utcShort(value);
	return typeof value === 'object' || value === undefined ? tree(value ?? '') : name === 'spki_sha256' ? hash(value) : String(value);
}

function clientsCard(clients) {
	const names = [...new Set(clients.flatMap((client) => Object.keys(client)))];
	const order = [...clientColumns.filter((name) => names.includes(name)), ...names.filter((name) => !clientColumns.includes(name))];

	return el('section', { class: 'card', 'aria-labelledby': 'clients' }, el('h2', { id: 'clients' }, t('health.clients'), ' ', el('span', { class: 'count' }, String(clients.length))),
		clients.length === 0 ? el('p', { class: 'quiet' }, t('health.noclients'))
			: table(t('health.clients'), order.map((name) => ({ name, label: has(`health.client.${name}`) ? t(`health.client.${name}`) : name })),
				clients.map((client) => ({ cells: Object.fromEntries(order.map((name) => [name, cell(name, client[name])])) }))));
}

function part(id, value) {
	return value === undefined ? null
		: el('section', { class: 'card', 'aria-labelledby': id }, el('h2', { id }, t(`health.${id}`)), tree(value));
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

		if (signal.aborted)
			return;
		refill(body, alarm(health), overview(health), clientsCard(health.clients ?? []),
			el('div', { class: 'cards' }, part('cosignatures', health.cosignatures), part('witness', health.witness), part('anchors', health.anchors),
				part('time_stamps', health.time_stamps), part('guards', health.guards), part('anomalies', health.anomalies)));
	}
	await read();
	fill(app.main, el('div', { class: 'head' }, el('h1', {}, t('health.title'))), body);
	onChange(signal, () => read().catch((error) => app.failed(error, body)));
}
