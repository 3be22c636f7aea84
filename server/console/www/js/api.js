/* Questions to the gateway (docs/console-api.md). Answers are the keeper's JSON; a refusal is an ApiError. */

export class ApiError extends Error {
	constructor(status, error) {
		super(error?.reason ?? `HTTP ${status}`);
		this.status = status;
		this.code = error?.code ?? '';
	}
}

let csrf = '';

export function setCsrf(value) {
	csrf = value;
}

async function ask(method, path, body) {
	const headers = { Accept: 'application/json' };
	let response;

	if (method !== 'GET') {
		headers['Content-Type'] = 'application/json';
		if (csrf !== '')
			headers['X-Kanmon-Csrf'] = csrf;
	}
	try {
		response = await fetch(`/api/v1/${path}`, {
			method, headers, body: body === undefined ? undefined : JSON.stringify(body),
			credentials: 'same-origin', cache: 'no-store', redirect: 'error',
		});
	} catch {
		throw new ApiError(0, { code: 'unreachable', reason: 'unreachable' });
	}
	const plain = (response.headers.get('Content-Type') ?? '').startsWith('text/plain');
	if (response.ok && plain)
		return response.text();
	const answer = await response.json().catch(() => null);
	if (!response.ok || answer === null)
		throw new ApiError(response.status, answer?.error);
	return answer;
}

export const get = (path) => ask('GET', path);
export const post = (path, body = {}) => ask('POST', path, body);

export function query(path, values) {
	const parameters = new URLSearchParams(
		Object.entries(values).filter(([, value]) => value !== '' && value !== null && value !== undefined));
	return parameters.size === 0 ? path : `${path}?${parameters}`;
}
