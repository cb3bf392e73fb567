// What each entry point weighs, minified and gzipped; fails when one is over its budget.
import { gzipSync } from 'node:zlib'
import { readFile } from 'node:fs/promises'
import { build } from 'esbuild'

/** The core alone; what the others need of it, and frameworks, are loaded already. */
const BUDGETS = [
  ['carillon-client', 'dist/carillon-client.js', 5120],
  ['the same as a script', 'dist/carillon-client.iife.js', 5120],
  ['carillon-client/react', 'src/react.js', 1024],
  ['carillon-client/vue', 'src/vue.js', 1024],
  ['carillon-client/shared', 'src/shared/index.js', 4096],
  // A transport of its own: reading a stream, its positions, and when the next one begins.
  ['carillon-client/sse', 'src/sse/index.js', 3584],
  ['carillon-client/inbox', 'src/inbox.js', 2048],
  ['carillon-client/diagnose', 'src/diagnose.js', 2048],
  ['carillon-client/testing', 'src/testing/index.js', 6144],
]

/** As it is sent: a bundle of this entry. The map's address is for whoever opens the developers' tools. */
async function sent(file) {
  if (file.startsWith('dist/')) return (await readFile(file, 'utf8')).replace(/\n\/\/# sourceMappingURL.*/, '')
  const { outputFiles: [{ text }] } = await build({ entryPoints: [file], bundle: true, minify: true, format: 'esm', target: 'es2022',
    external: ['carillon-client', 'react', 'vue'], write: false })
  return text
}

let isOver = false
console.log('                            min B   gz B  budget')
for (const [name, file, budget] of BUDGETS) {
  const text = await sent(file)
  const size = gzipSync(text, { level: 9 }).length
  isOver ||= size > budget
  console.log(`${name.padEnd(25)} ${String(text.length).padStart(7)} ${String(size).padStart(6)} ${String(budget).padStart(7)}${size > budget ? '  over' : ''}`)
}
if (isOver) {
  console.error('size: an entry point is over its budget: make it smaller, or say in scripts/size.js why it may weigh more')
  process.exit(1)
}
