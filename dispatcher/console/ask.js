/** Asks before something happens to others, and says what will. */
import { button, element } from './dom.js'

/**
 * What was filled in; nothing where it is not to be done.
 * @param {string} title
 * @param {string[]} told What will happen, a paragraph each.
 * @param {string} action What the button says that does it.
 * @param {...Node} fields
 * @returns {Promise<Record<string, string> | undefined>}
 */
export function ask(title, told, action, ...fields) {
  const content = element('form', { method: 'dialog' },
    element('h2', { id: 'ask-title' }, title), ...told.map((text) => element('p', '', text)), ...fields,
    element('div', 'actions', button('', 'Cancel', () => dialog.close()), element('button', { class: 'primary', value: 'do' }, action)))
  const dialog = element('dialog', { 'aria-labelledby': 'ask-title' }, content)
  // A dialog's own way of submitting is a navigation to the policy.
  content.addEventListener('submit', (/** @type {SubmitEvent} */ event) => {
    event.preventDefault()
    dialog.close('do')
  })
  document.body.append(dialog)
  dialog.showModal()
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      const values = /** @type {any} */ (Object.fromEntries(/** @type {any} */ (new FormData(content))))
      dialog.remove()
      resolve(dialog.returnValue === 'do' ? values : undefined)
    })
  })
}
