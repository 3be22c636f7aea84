/*
 * A stand-in for the gateway's console, for work on the pages and for tests that need no gateway: it serves the files of
 * www and two requests whose answers a keeper once gave (fixtures/). It judges signatures, counts votes and forgets all
 * of it when it ends. Only the times in the statements are made anew.
 *
 *	node mock.mjs WWW PORT      for a look with one's own browser: http://localhost:PORT/
 */
import { createHash, createPublicKey, randomBytes, verify } from 'node:crypto';
import { createReadStream, existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ledger } from './ledger.mjs';

const types = { '.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript', '.svg': 'image/svg+xml' };
export const policyHeaders = {
	'Content-Security-Policy': "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
		"form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'",
	'X-Content-Type-Options': 'nosniff',
};
const sha256 = (bytes) => createHash('sha256').update(bytes).digest();
const stamp = (ms) => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');

class Refusal extends Error {
	constructor(status, code, reason) {
		super(reason);
		Object.assign(this, { status, code });
	}
}

export class Mock {
	constructor(www, { lifetimeMs = 4 * 3600 * 1000 } = {}) {
		this.www = www;
		this.persons = new Map(); /* name -> SPKI in PEM */
		this.sessions = new Map();
		this.streams = new Set();
		this.drafts = [];
		this.instructions = [];
		this.seen = []; /* what pages reported as shown */
		this.requests = new Map();
		this.answers = JSON.parse(readFileSync(new URL('fixtures/answers.json', import.meta.url), 'utf8'));
		this.ledger = new Ledger('kanmon.sandbox/gw/2026', this.answers.policy.note);
		this.ledger.grow(59);
		this.evidence = false; /* whether there is a bundle of request 35: of another ledger than this one */
		for (const id of [35, 46]) {
			const path = fileURLToPath(new URL(`fixtures/request-${id}.json`, import.meta.url));
			const answer = JSON.parse(readFileSync(path, 'utf8'));
			const now = Date.now();
			answer.statement = answer.statement.replace(/^not-before .*$/m, `not-before ${stamp(now)}`)
				.replace(/^not-after .*$/m, `not-after ${stamp(now + lifetimeMs)}`);
			Object.assign(answer.request, { created: now, expires: now + lifetimeMs });
			this.requests.set(id, answer);
			this.ledger.lines[id] = answer.intent.line;
		}
		for (const [id, answer] of this.requests)
			this.place(id, answer);
	}

	/* The request's record stands in this ledger, and its statement names a head of it. */
	place(id, answer, ledger = this.ledger) {
		const { head, path } = ledger.placed(id, id + 1);

		answer.statement = answer.statement.replace(/^head .*$/m, `head ${id + 1} ${head}`);
		answer.proof = path;
	}

	async listen(port = 0) {
		this.server = createServer((request, response) => this.take(request, response));
		await new Promise((done) => this.server.listen(port, '127.0.0.1', done));
		this.origin = `http://localhost:${this.server.address().port}`;
		return this.origin;
	}

	close() {
		this.server.closeAllConnections();
		return new Promise((done) => this.server.close(done));
	}

	enrol(name, spkiPem) {
		this.persons.set(name, spkiPem);
	}

	tell(event) {
		for (const stream of this.streams)
			stream.write(`data: ${JSON.stringify(event)}\n\n`);
	}

	async take(request, response) {
		const url = new URL(request.url, 'http://localhost');
		const chunks = [];

		for await (const chunk of request)
			chunks.push(chunk);
		try {
			if (!url.pathname.startsWith('/api/v1/'))
				return this.file(url.pathname, response);
			if (url.pathname === '/api/v1/events')
				return this.stream(response);
			const body = chunks.length > 0 ? JSON.parse(Buffer.concat(chunks).toString()) : {};
			const answer = this.answer(request.method, url, body, request, response);
			response.writeHead(200, { 'Content-Type': 'application/json', ...policyHeaders });
			return response.end(JSON.stringify(answer));
		} catch (error) {
			response.writeHead(error.status ?? 500, { 'Content-Type': 'application/json' });
			return response.end(JSON.stringify({ error: { code: error.code ?? 'mock', reason: error.message } }));
		}
	}

	file(path, response) {
		const name = normalize(join(this.www, path === '/' ? 'index.html' : path));

		if (!name.startsWith(this.www) || !existsSync(name)) {
			response.writeHead(404);
			return response.end();
		}
		response.writeHead(200, { 'Content-Type': types[extname(name)] ?? 'text/plain', ...policyHeaders });
		return createReadStream(name).pipe(response);
	}

	stream(response) {
		response.writeHead(200, { 'Content-Type': 'text/event-stream', ...policyHeaders });
		response.write(': open\n\n');
		this.streams.add(response);
		response.on('close', () => this.streams.delete(response));
	}

	session(request) {
		const session = this.sessions.get(/kanmon=(\w+)/.exec(request.headers.cookie ?? '')?.[1]);

		if (session === undefined)
			throw new Refusal(401, 'KMN_E_DENIED', 'sign in first');
		return session;
	}

	/* Whose assertion over this text it is. */
	signer(text, assertion) {
		const bytes = (name) => Buffer.from(assertion[name], 'base64url');
		const client = JSON.parse(bytes('clientDataJSON').toString());
		const signed = Buffer.concat([bytes('authenticatorData'), sha256(bytes('clientDataJSON'))]);

		if (client.challenge !== sha256(`kanmon/webauthn/v1\n${text}`).toString('base64url') || client.origin !== this.origin)
			throw new Refusal(403, 'KMN_E_DENIED', 'the challenge is not that of the text');
		for (const [name, pem] of this.persons)
			if (verify('sha256', signed, createPublicKey(pem), bytes('signature')))
				return name;
		throw new Refusal(403, 'KMN_E_DENIED', 'no key of the policy signed this');
	}

	answer(method, { pathname, searchParams: parameters }, body, request, response) {
		const path = pathname.slice('/api/v1/'.length);
		const id = Number(/^requests\/(\d+)/.exec(path)?.[1]);

		if (path === 'sign-in/begin')
			return this.begin();
		if (path === 'sign-in')
			return this.signIn(body, response);
		const session = this.session(request);
		if (method === 'POST' && request.headers['x-kanmon-csrf'] !== session.csrf)
			throw new Refusal(403, 'KMN_E_DENIED', 'no CSRF value');
		if (path === 'session')
			return session;
		if (path === 'sign-out') {
			this.sessions.clear();
			return {};
		}
		if (path === 'requests')
			return { requests: [...this.requests.values()].map((answer) => answer.request) };
		if (path === 'drafts')
			return { drafts: this.drafts };
		if (path === 'instructions/begin')
			return this.instruction(body);
		if (path === 'instructions')
			return method === 'GET' ? { instructions: this.instructions } : this.instruct(body);
		if (path === 'notes')
			return this.vote(body);
		if (path === 'operations/35/bundle' && this.evidence)
			return { record: 35, bundle: readFileSync(new URL('fixtures/request.bundle', import.meta.url), 'utf8') };
		const told = this.answers[path] ?? this.ledger.answer(path, parameters);
		if (told !== undefined)
			return told;
		const answer = this.requests.get(id);
		if (answer === undefined)
			throw new Refusal(404, 'KMN_E_NOT_FOUND', 'no such request');
		return path.endsWith('/shown') ? this.shown(id, answer, body) : answer;
	}

	begin() {
		const text = `kanmon/sign-in/v1\norigin mock\npage ${this.origin}\nnonce ${randomBytes(32).toString('base64')}\ntime ${stamp(Date.now())}\n`;

		return { text, challenge: sha256(`kanmon/webauthn/v1\n${text}`).toString('base64url'), rp_id: 'localhost' };
	}

	instruction({ what, token, rule, key, id, mechanism, parameters, file_sha256: hash, file_length: length, purpose }) {
		const lines = [['origin', this.ledger.origin], ['client', 'console'], ['what', what], ['token', token], ['rule', rule], ['key-label', key], ['key-id', id],
			['mechanism', mechanism], ['parameters', parameters], ['file-len', String(length ?? '')], ['file-sha256', hash ?? ''], ['purpose', purpose],
			['nonce', randomBytes(32).toString('base64')], ['time', stamp(Date.now())]];

		return { text: `kanmon/instruction/v1\n${lines.filter(([, value]) => value !== '').map((line) => `${line.join(' ')}\n`).join('')}`, rp_id: 'localhost' };
	}

	/* What came is kept for the test to look at; nothing is done. */
	instruct(body) {
		this.instructed = body;
		this.instructions.unshift({ record: 90 + this.instructions.length, t: Date.now(), operator: this.signer(body.text, body.assertion),
			what: /^what (.*)$/m.exec(body.text)[1], state: 'running' });
		return { record: this.instructions[0].record, application: `action ${this.instructions[0].record}` };
	}

	signIn({ text, assertion }, response) {
		const name = this.signer(text, assertion);
		const id = randomBytes(16).toString('hex');
		const session = { origin: 'kanmon.sandbox/gw/2026', name, person: '0001', roles: ['custodian', 'operator'], csrf: randomBytes(16).toString('base64url') };

		this.sessions.set(id, session);
		response.setHeader('Set-Cookie', `kanmon=${id}; HttpOnly; SameSite=Strict; Path=/`);
		return session;
	}

	shown(id, answer, { sha256: hash }) {
		const agrees = hash === sha256(answer.statement).toString('base64');

		this.seen.push({ id, agrees });
		return { record: 0, agrees };
	}

	vote({ text, assertion }) {
		const name = this.signer(text, assertion);
		const id = Number(/^request (\d+)$/m.exec(text)?.[1]);
		const decision = /^decision (\w+)$/m.exec(text)[1];
		const answer = this.requests.get(id);
		const { request } = answer;
		const turned = text.replace(/^decision .*$/m, 'decision approve').replace(/^reason .*\n/m, '');

		if (turned !== answer.statement)
			return { request: id, check: 'the text is not the statement', state: request.state };
		(decision === 'approve' ? request.have : request.rejected_by).push(name);
		if (request.have.length >= 2)
			request.state = 'approved';
		if (request.rejected_by.length >= 2)
			request.state = 'rejected';
		this.tell({ what: 'request', request: id });
		return { request: id, check: 'ok', state: request.state };
	}
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	const mock = new Mock(normalize(`${process.argv[2]}/`));
	process.stdout.write(`${await mock.listen(Number(process.argv[3] ?? 0))}/\n`);
}
