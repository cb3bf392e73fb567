// Builds dist/: the core as a module and as a script, minified, with a map back to src/.
import { build } from 'esbuild'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { minify } from 'terser'

/**
 * What only the parts of the core call each other by. esbuild knows no more than that they are properties; they
 * are a tenth of what is sent. None of them is on the wire, in the options or of a browser.
 */
const INTERNAL = ['arrive', 'awake', 'begin', 'caughtUp', 'check', 'counts', 'emit', 'endsAt', 'flushAcks', 'forget', 'give',
  'handled', 'heard', 'isRunning', 'live', 'move', 'onError', 'onSubscribed', 'order', 'probe', 'put', 'renew', 'reset', 'save',
  'settle', 'start', 'stop', 'take']

await rm('dist', { recursive: true, force: true })
await mkdir('dist')
const module = "export * from './src/index.js'"
const names = '{ NotificationClient, CarillonError, UnauthorizedError }'
const script = `import ${names} from './src/index.js'; globalThis.Carillon = ${names}`
for (const [file, format, contents] of [['carillon-client.js', 'esm', module], ['carillon-client.iife.js', 'iife', script]]) {
  const { outputFiles: [bundle] } = await build({
    stdin: { contents, resolveDir: '.' }, bundle: true, format, target: 'es2022',
    sourcemap: 'inline', outfile: file, write: false, logLevel: 'warning',
  })
  const { code, map } = await minify({ [file]: bundle.text }, {
    module: format === 'esm', ecma: 2020,
    compress: { passes: 3 },
    mangle: { properties: { regex: new RegExp(`^(${INTERNAL.join('|')})$`) } },
    sourceMap: { content: 'inline', url: `${file}.map`, includeSources: true },
  })
  await writeFile(`dist/${file}`, code)
  await writeFile(`dist/${file}.map`, map)
}
