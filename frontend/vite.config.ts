import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import react from '@vitejs/plugin-react'
import type { Plugin } from 'vite'
import { defineConfig } from 'vitest/config'

/** Writes each larger text file compressed beside itself: the server sends it as it lies there. */
function compressed(): Plugin {
  let outDir = ''
  return {
    name: 'flowgate-compressed',
    apply: 'build',
    configResolved(config) {
      outDir = config.build.outDir
    },
    closeBundle() {
      for (const file of readdirSync(join(outDir, 'assets'))) {
        const path = join(outDir, 'assets', file)
        if (/\.(js|css|svg)$/.test(file)) writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }))
      }
    },
  }
}

export default defineConfig({
  plugins: [react(), compressed()],
  resolve: {
    // monaco-yaml still asks for the worker where older versions of Monaco had it.
    alias: [
      {
        find: 'monaco-editor/esm/vs/editor/editor.worker.js',
        replacement: 'monaco-editor/editor/editor.worker.js',
      },
    ],
  },
  build: { chunkSizeWarningLimit: 6000, manifest: true, assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  // The command's own files are offered as a download too.
  server: { proxy: { '/api': 'http://127.0.0.1:8080' }, fs: { allow: ['.', '../cli/src/flowgate_cli/bundle'] } },
  test: {
    environment: 'jsdom',
    setupFiles: ['src/testing/setup.ts'],
    restoreMocks: true,
    testTimeout: 60_000,
    maxWorkers: 2,
  },
})
