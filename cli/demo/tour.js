/** The walk through it: the same actions as the buttons', one after the other. */
import { attempt, byId } from './dom.js'
import { drains } from './operator.js'
import { tellAll } from './person.js'

/** Between two steps. */
const PAUSE = 3_600
const WORDS = 'Show me, in half a minute'

const button = byId('tour')
const caption = byId('caption')
/** Of a walk: one that was stopped, and overtaken, sees another. */
let turn = 0
let isWalking = false

/** @param {Record<'alice' | 'bob', ReturnType<typeof import('./person.js').createPerson>>} people */
export function offerTour({ alice, bob }) {
  const steps = [
    ['Bob writes to Alice. His service sends over REST; her browser has it at once.', [bob, alice],
      () => bob.send('Lunch?', alice)],
    ['Alice goes offline. Bob sends twice more: accepted, and waiting for her.', [alice],
      async () => {
        alice.goes(true)
        await bob.send('At one?', alice)
        await bob.send('The usual place', alice)
      }],
    ['Alice is back. What she missed is replayed, in order, from her last position.', [alice],
      () => alice.goes(false)],
    ['Bob’s wire is cut, without a word to either side. Alice writes in that moment.', [bob],
      async () => {
        await bob.cut()
        await alice.send('One it is', bob)
      }],
    ['The gateway that Alice is on drains. She is told, and is on the next one before it closes.', [alice],
      () => drains(alice.gateway())],
    ['A broadcast, while she moves. Everyone has it, once.', [alice, bob],
      () => tellAll([alice, bob], 'Back at noon')],
  ]

  /** @param {string} text @param {any[]} actors */
  const say = (text, actors) => {
    caption.textContent = text
    byId('walk').classList.toggle('is-walking', isWalking)
    actors[0]?.card.scrollIntoView({ block: 'nearest' })
    for (const { card } of [alice, bob]) card.classList.toggle('is-acting', actors.some((it) => it.card === card))
  }

  const walk = async () => {
    const mine = ++turn
    isWalking = true
    button.textContent = 'Stop'
    for (const [at, [text, actors, act]] of steps.entries()) {
      say(`${at + 1} of ${steps.length}: ${text}`, actors)
      await attempt(act)
      await new Promise((resolve) => { setTimeout(resolve, PAUSE) })
      if (mine !== turn) return
    }
    say('Nothing was lost, nothing came twice. The log below has every step of it.', [])
    isWalking = false
    button.textContent = 'Show me again'
  }

  button.addEventListener('click', () => {
    if (!isWalking) return walk()
    isWalking = false
    turn++
    alice.goes(false)
    say('Stopped. Try it yourself.', [])
    button.textContent = WORDS
  })
}
