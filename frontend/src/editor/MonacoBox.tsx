import { useComputedColorScheme } from '@mantine/core'
import { useEffect, useRef } from 'react'
import type { Problem } from './checks'
import { completeWith, monaco } from './monaco'
import type { Components } from './schema'

interface Props {
  /** What is there first. From then on the editor has the text, and tells of each change. */
  initial: string
  /** Another text instead; a new object puts it in again. */
  replacement?: { text: string }
  onChange: (text: string) => void
  /** Beside it, for comparison. */
  original?: string
  height: number | string
  label: string
  problems: Problem[]
  available: Components
  /** Problems that the schema sees. */
  onMarkers: (problems: Problem[]) => void
  /** A line to go to; a new object goes there again. */
  reveal?: { line: number }
}

let number = 0

/**
 * Monaco in a box: YAML with completion, problems at their lines, and another text beside it.
 *
 * The text outlives the editors that show it, and with it what can be undone and where one was.
 */
export default function MonacoBox({ initial, replacement, onChange, original, height, label, problems, available, onMarkers, reveal }: Props) {
  const box = useRef<HTMLDivElement>(null)
  const editor = useRef<monaco.editor.ICodeEditor>(undefined)
  const model = useRef<monaco.editor.ITextModel>(undefined)
  const beside = useRef<monaco.editor.ITextModel>(undefined)
  const closeEditor = useRef(() => {})
  const view = useRef<monaco.editor.ICodeEditorViewState>(null)
  const callbacks = useRef({ onChange, onMarkers })
  callbacks.current = { onChange, onMarkers }
  const latest = useRef(original)
  latest.current = original
  const first = useRef(initial)
  const scheme = useComputedColorScheme('light')
  const isDiff = original !== undefined

  useEffect(() => {
    const own = monaco.editor.createModel(first.current, 'yaml', monaco.Uri.parse(`file:///collector-${++number}.yaml`))
    model.current = own
    const changed = own.onDidChangeContent(() => callbacks.current.onChange(own.getValue()))
    const marked = monaco.editor.onDidChangeMarkers((uris) => {
      if (!uris.some((uri) => uri.toString() === own.uri.toString())) return
      callbacks.current.onMarkers(
        monaco.editor
          .getModelMarkers({ resource: own.uri })
          .filter((marker) => marker.owner !== 'flowgate')
          .map((marker) => ({
            severity: marker.severity === monaco.MarkerSeverity.Error ? 'error' : 'warning',
            message: marker.message,
            line: marker.startLineNumber,
            column: marker.startColumn,
            endColumn: marker.endColumn,
          })),
      )
    })
    return () => {
      first.current = own.getValue()
      closeEditor.current() // an editor must not outlive its text
      changed.dispose()
      marked.dispose()
      own.dispose()
      model.current = undefined
    }
  }, [])

  useEffect(() => {
    const own = model.current
    if (!own) return
    const options: monaco.editor.IStandaloneEditorConstructionOptions = {
      automaticLayout: true,
      minimap: { enabled: false },
      fontSize: 13,
      scrollBeyondLastLine: false,
      wordBasedSuggestions: 'off',
      quickSuggestions: { other: true, comments: false, strings: true },
      tabSize: 2,
      ariaLabel: label,
      fixedOverflowWidgets: true,
    }
    let dispose: () => void
    if (isDiff) {
      const left = monaco.editor.createModel(latest.current ?? '', 'yaml', monaco.Uri.parse(`file:///beside-${++number}.yaml`))
      const diff = monaco.editor.createDiffEditor(box.current!, {
        ...options,
        originalEditable: false,
        renderSideBySide: true,
        hideUnchangedRegions: { enabled: true },
        originalAriaLabel: 'Beside it, for comparison',
        modifiedAriaLabel: label,
      })
      diff.setModel({ original: left, modified: own })
      beside.current = left
      editor.current = diff.getModifiedEditor()
      dispose = () => {
        diff.dispose()
        left.dispose()
        beside.current = undefined
      }
    } else {
      const plain = monaco.editor.create(box.current!, { ...options, model: own })
      editor.current = plain
      dispose = () => plain.dispose()
    }
    if (view.current) editor.current.restoreViewState(view.current)
    // Escape closes Monaco's suggestions; a dialog around them would take it too.
    for (const field of editor.current.getDomNode()?.querySelectorAll('textarea, .native-edit-context') ?? []) {
      field.setAttribute('data-mantine-stop-propagation', 'true')
    }
    let isOpen = true
    closeEditor.current = () => {
      if (!isOpen) return
      isOpen = false
      view.current = editor.current?.saveViewState() ?? null
      dispose()
    }
    return () => closeEditor.current()
  }, [isDiff, label])

  useEffect(() => {
    if (original !== undefined && beside.current?.getValue() !== original) beside.current?.setValue(original)
  }, [original])
  useEffect(() => {
    const known = model.current
    if (!replacement || !known || known.getValue() === replacement.text) return
    known.pushEditOperations([], [{ range: known.getFullModelRange(), text: replacement.text }], () => null) // can be undone
  }, [replacement])
  useEffect(() => monaco.editor.setTheme(scheme === 'dark' ? 'flowgate-dark' : 'vs'), [scheme])
  useEffect(() => void completeWith(available), [available])
  useEffect(() => {
    const known = model.current
    if (!known) return
    monaco.editor.setModelMarkers(
      known,
      'flowgate',
      problems.map((one) => ({
        severity: one.severity === 'error' ? monaco.MarkerSeverity.Error : monaco.MarkerSeverity.Warning,
        message: one.message,
        startLineNumber: one.line,
        endLineNumber: one.line,
        startColumn: one.column,
        endColumn: one.endColumn,
      })),
    )
  }, [problems])
  useEffect(() => {
    if (!reveal || !editor.current) return
    editor.current.revealLineInCenter(reveal.line)
    editor.current.setPosition({ lineNumber: reveal.line, column: 1 })
    editor.current.focus()
  }, [reveal])
  return <div ref={box} style={{ height, border: '1px solid var(--mantine-color-default-border)' }} data-testid="editor" />
}
