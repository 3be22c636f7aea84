/* Cases one after the other, as TAP. A case is a sentence; what it throws is why it failed. */
const cases = [];

const LONGEST_MS = 60000;

export const test = (says, run) => cases.push({ says, run });

function withinTime(work) {
	let timer = 0;
	const late = new Promise((_, fail) => {
		timer = setTimeout(() => fail(new Error(`not done within ${LONGEST_MS / 1000} s`)), LONGEST_MS);
	});

	return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/* `chained`: each case needs those before it, so none is run after one that failed. `explain` tells more of one. */
export async function runAll({ chained = false, explain = async () => '' } = {}) {
	let failed = 0;

	process.stdout.write(`1..${cases.length}\n`);
	for (const [i, { says, run }] of cases.entries()) {
		if (chained && failed > 0) {
			process.stdout.write(`not ok ${i + 1} - ${says} # not run\n`);
			continue;
		}
		try {
			await withinTime(run());
			process.stdout.write(`ok ${i + 1} - ${says}\n`);
		} catch (error) {
			failed += 1;
			process.stdout.write(`not ok ${i + 1} - ${says}\n${`${error.stack}\n${await explain()}`.replace(/^/gm, '# ')}\n`);
		}
	}
	return failed;
}
