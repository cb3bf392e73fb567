// Runs cases, several at a time, and prints what came of each.
import { SOON } from './socket.js'

/** Thrown by a case that cannot be run here. */
export class Skipped extends Error {}

export const skip = (why) => { throw new Skipped(why) }

/**
 * A case: `name`; `says`, the sentence of docs/protocol.md that it holds a program to; `run(stage)`. `alone`: nothing else
 * runs meanwhile.
 */
async function runOne(it, makeStage) {
  const began = Date.now()
  let stage
  const done = (result, why = '') => ({ name: it.name, says: it.says, result, why, ms: Date.now() - began })
  try {
    stage = await makeStage(it)
    await it.run(stage)
    return done('pass')
  } catch (error) {
    if (error instanceof Skipped) return done('skip', error.message)
    return done('FAIL', String(error.message ?? error).split('\n').slice(0, 12).join('\n'))
  } finally {
    await stage?.stop()
  }
}

/** The results, in the order of the cases. */
export async function run(cases, makeStage, { only, atOnce = 6, onResult = () => {} } = {}) {
  const names = new Set()
  for (const { name } of cases) {
    if (names.has(name)) throw new Error(`two cases are named ${name}`)
    names.add(name)
  }
  const chosen = cases.filter(({ name }) => !only || only.some((it) => name.includes(it)))
  const results = new Map()
  const finish = async (it) => {
    const result = await runOne(it, makeStage)
    results.set(it, result)
    onResult(result)
  }
  const together = chosen.filter((it) => !it.alone)
  await Promise.all(Array.from({ length: atOnce }, async () => {
    for (let it = together.shift(); it; it = together.shift()) await finish(it)
  }))
  for (const it of chosen.filter((one) => one.alone)) await finish(it)
  return chosen.map((it) => results.get(it))
}

/** A table for people; the number of failures. */
export function report(title, results) {
  const width = Math.max(...results.map(({ name }) => name.length))
  console.log(`\n${title}`)
  for (const { name, says, result, why, ms } of results) {
    console.log(`${result}  ${name.padEnd(width)} ${String(ms).padStart(6)} ms${result === 'skip' ? `  ${why}` : ''}`)
    if (result === 'FAIL') console.log(`      ${why.replaceAll('\n', '\n      ')}\n      docs/protocol.md: ${says}`)
  }
  const count = (wanted) => results.filter(({ result }) => result === wanted).length
  console.log(`${count('pass')} passed, ${count('FAIL')} failed, ${count('skip')} skipped`)
  return count('FAIL')
}

/** Waits until it holds; fails with what `told` says. */
export async function until(holds, told, patience = SOON) {
  const end = Date.now() + patience
  while (!await holds()) {
    if (Date.now() > end) throw new Error(`not within ${patience} ms: ${await told()}`)
    await new Promise((resolve) => { setTimeout(resolve, 20) })
  }
}
