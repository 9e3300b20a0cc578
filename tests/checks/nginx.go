package checks

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/pods"
)

// nginxConfig makes nginx tell of what it has in memory and on disk: how many requests it has served, and its access log.
// It is one process that runs as root: on a host without CAP_SYS_RESOURCE, CRIU cannot dump a process of another user.
const nginxConfig = `
user root;
worker_processes 1;
pid /var/log/nginx/e2e.pid;
error_log stderr notice;
events {}
http {
  log_format e2e '$request_uri';
  access_log /var/log/nginx/e2e.log e2e;
  default_type text/plain;
  server {
    listen 80;
    location = /healthz { access_log off; return 200 "ok\n"; }
    location = /requests { access_log off; stub_status; }
    location = /log { access_log off; alias /var/log/nginx/e2e.log; }
    location / { return 200 "nginx\n"; }
  }
}
`

// ObservableNginx makes the config map of a pod with an nginx that tells of itself, and returns the pod to start.
func (c *Checks) ObservableNginx() *corev1.Pod {
	c.Helper()
	const name = "nginx-config"
	_, err := c.Kube.CoreV1().ConfigMaps(c.Namespace).Create(c.Ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"nginx.conf": nginxConfig},
	}, metav1.CreateOptions{})
	c.Must(err, "create config map %s", name)
	return pods.Nginx(c.Env.ImageNginx, pods.ConfigMap(name, "/etc/e2e"), pods.Ready("/healthz"),
		pods.Command("nginx", "-c", "/etc/e2e/nginx.conf", "-g", "daemon off;"))
}

// Served is how many requests an nginx has served since it started: a number in the memory that its processes share.
func (c *Checks) Served(p *corev1.Pod) int {
	c.Helper()
	body := string(c.Get(p, pods.NginxPort, "/requests", nil))
	var active, accepts, handled, requests int
	_, err := fmt.Sscanf(body, "Active connections: %d\nserver accepts handled requests\n%d %d %d", &active, &accepts, &handled, &requests)
	c.Must(err, "read the number of requests from %q", body)
	return requests
}

// Visit makes a request that the access log keeps.
func (c *Checks) Visit(p *corev1.Pod, path string) {
	c.Helper()
	fixture.Equal(c, "the answer of nginx", "nginx\n", string(c.Get(p, pods.NginxPort, path, nil)))
}

// Visits is the access log, in one line.
func (c *Checks) Visits(p *corev1.Pod) string {
	c.Helper()
	return strings.Join(strings.Fields(string(c.Get(p, pods.NginxPort, "/log", nil))), " ")
}
