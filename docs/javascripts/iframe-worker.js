// Search in pages that are opened from a disk. Browsers start no Worker there, so its script runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      this.frame.worker = this
      this.frame.srcdoc =
        "<script>postMessage = data => frameElement.worker.receive(data)</" + "script>" +
        `<script src="${new URL(url, location)}"></` + "script>"
      this.loaded = new Promise(done => this.frame.addEventListener("load", done, { once: true }))
      document.body.append(this.frame)
    }
    postMessage(data) {
      this.loaded.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })))
    }
    receive(data) {
      this.dispatchEvent(new MessageEvent("message", { data }))
    }
    terminate() {
      this.frame.remove()
    }
  }
}
