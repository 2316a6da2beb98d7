/** Monaco with YAML, set up once. Loaded only where somebody edits. */
import 'monaco-editor/features/register.all'
import 'monaco-editor/languages/definitions/yaml/register'
import * as monaco from 'monaco-editor/editor'
import EditorWorker from 'monaco-editor/editor/editor.worker?worker'
import { configureMonacoYaml } from 'monaco-yaml'
import { collectorSchema } from './schema'
import YamlWorker from './yaml.worker?worker'

// monaco-yaml still asks for workers as older versions of Monaco made them.
const plain = monaco.editor.createWebWorker
type Asked = { worker?: unknown; label?: string; moduleId?: string; createData?: unknown }
;(monaco.editor as { createWebWorker: unknown }).createWebWorker = (asked: Asked) => {
  if (asked.worker) return plain(asked as never)
  const worker = self.MonacoEnvironment!.getWorker!(asked.moduleId ?? '', asked.label ?? '') as Worker
  worker.postMessage('ignore')
  worker.postMessage(asked.createData)
  return plain({ ...asked, worker } as never)
}

self.MonacoEnvironment = {
  getWorker: (_id: string, label: string) => (label === 'yaml' ? new YamlWorker() : new EditorWorker()),
}

// Monaco's own dark one paints changes so bright that they are hard to read.
monaco.editor.defineTheme('flowgate-dark', {
  base: 'vs-dark',
  inherit: true,
  rules: [],
  colors: {
    'diffEditor.insertedLineBackground': '#17361f',
    'diffEditor.insertedTextBackground': '#1e4727',
    'diffEditor.removedLineBackground': '#451b18',
    'diffEditor.removedTextBackground': '#5a2420',
  },
})

const yaml = configureMonacoYaml(monaco as never, {
  validate: true,
  hover: true,
  completion: true,
  enableSchemaRequest: false,
  schemas: [{ fileMatch: ['**/collector-*.yaml'], uri: 'flowgate://schema/collector.json', schema: collectorSchema({}) as never }],
})

/** Complete and check with these components, by kind; without any, with the well-known ones. */
export async function completeWith(components: Record<string, string[]>): Promise<void> {
  await yaml.update({
    schemas: [
      { fileMatch: ['**/collector-*.yaml'], uri: 'flowgate://schema/collector.json', schema: collectorSchema(components) as never },
    ],
  })
}

export { monaco }
