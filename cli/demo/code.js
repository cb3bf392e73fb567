/** The code of each action, as it stands in actions.js. */
import * as actions from './actions.js'
import { byId, element } from './dom.js'
import { read, token } from './service.js'

const TOPICS = {
  connect: ['Connect', 'In the browser, with the npm package.', actions.connect, token],
  send: ['Send', 'In your service, over REST: a page must not hold an API key. This one has the key of a process for development.', actions.send, read],
  broadcast: ['Broadcast', 'In your service. A broadcast is kept for a while, for those who are reconnecting.', actions.broadcast],
  join: ['Channel', 'Over every reconnect, from where it was left.', actions.join, actions.leave],
  offline: ['Offline', 'What is sent meanwhile waits at the server, and is replayed from the last position.', actions.goOffline, actions.comeBack],
  cut: ['Cut', 'For the page alone. The client finds out and comes back by itself: for that, no code is needed.', actions.cut],
  drain: ['Drain', 'For operators; “carillon drain” calls the same. Clients are told, and open the next connection before the old one closes.', actions.drain, actions.gateways],
}

const TOKENS = /(\/\/.*)|('[^']*'|`[^`]*`)|\b(async|await|const|export|function|if|new|return|throw|undefined)\b/g

const topics = byId('topics')
for (const [name, [title]] of Object.entries(TOPICS)) {
  const radio = element('input', '')
  Object.assign(radio, { type: 'radio', name: 'topic', value: name })
  const label = element('label', '', radio, element('span', '', title))
  topics.append(label)
}
topics.addEventListener('change', ({ target }) => show(target.value))

byId('copy').addEventListener('click', async ({ currentTarget: button }) => {
  await navigator.clipboard.writeText(byId('code').textContent)
  button.textContent = 'Copied'
  setTimeout(() => { button.textContent = 'Copy' }, 2_000)
})

/** @param {string} name */
export function show(name) {
  const [, about, ...functions] = TOPICS[name]
  topics.querySelector(`[value=${name}]`).checked = true
  byId('about').textContent = about
  byId('code').replaceChildren(...coloured(functions.map(String).join('\n\n')))
}

/** @param {string} text */
function coloured(text) {
  const parts = []
  let done = 0
  for (const match of text.matchAll(TOKENS)) {
    const kind = match[1] ? 'comment' : match[2] ? 'string' : 'keyword'
    parts.push(text.slice(done, match.index), element('span', kind, match[0]))
    done = match.index + match[0].length
  }
  return [...parts, text.slice(done)]
}
