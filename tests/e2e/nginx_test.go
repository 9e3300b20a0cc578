//go:build e2e

package e2e

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

// nginxTold is a pod with an nginx that tells of itself.
func (s *scene) nginxTold() *corev1.Pod {
	s.Helper()
	const name = "nginx-config"
	_, err := kube.CoreV1().ConfigMaps(s.namespace).Create(s.ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"nginx.conf": nginxConfig},
	}, metav1.CreateOptions{})
	s.must(err, "create config map %s", name)
	return s.start(pods.Nginx(env.ImageNginx, pods.ConfigMap(name, "/etc/e2e"), pods.Ready("/healthz"),
		pods.Command("nginx", "-c", "/etc/e2e/nginx.conf", "-g", "daemon off;")))
}

// served is how many requests an nginx has served since it started: a number in the memory that its processes share.
func (s *scene) served(p *corev1.Pod) int {
	s.Helper()
	body := string(s.get(p, pods.NginxPort, "/requests", nil))
	var active, accepts, handled, requests int
	_, err := fmt.Sscanf(body, "Active connections: %d\nserver accepts handled requests\n%d %d %d", &active, &accepts, &handled, &requests)
	s.must(err, "read the number of requests from %q", body)
	return requests
}

// visit makes a request that the access log keeps.
func (s *scene) visit(p *corev1.Pod, path string) {
	s.Helper()
	equal(s, "the answer of nginx", "nginx\n", string(s.get(p, pods.NginxPort, path, nil)))
}

// visits is the access log, in one line.
func (s *scene) visits(p *corev1.Pod) string {
	s.Helper()
	return strings.Join(strings.Fields(string(s.get(p, pods.NginxPort, "/log", nil))), " ")
}
