(function () {
  "use strict";
  var button = document.getElementById("save");
  button.hidden = false;
  button.addEventListener("click", function () {
    var text = document.getElementById("report").textContent;
    var link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = "simulation.json";
    link.click();
    setTimeout(function () { URL.revokeObjectURL(link.href); }, 10000);
  });
})();
